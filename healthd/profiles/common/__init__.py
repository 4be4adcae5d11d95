"""Code that several profiles share."""
