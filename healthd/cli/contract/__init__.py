"""The published contract, generated from the models."""
