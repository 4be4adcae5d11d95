"""What ``healthd doctor`` looks at: small checks, one file for each subject, nothing changed."""
