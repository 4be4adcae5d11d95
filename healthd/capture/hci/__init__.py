"""HCI: which links there are, and what they carry."""
