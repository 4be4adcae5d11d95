"""What several profiles share."""
