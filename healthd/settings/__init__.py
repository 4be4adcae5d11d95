"""The settings: models, values and the file."""
