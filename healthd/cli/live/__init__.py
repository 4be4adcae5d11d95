"""What healthd watch and demo show."""
