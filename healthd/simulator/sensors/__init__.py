"""Sport sensors: for a bicycle, a shoe, and the location."""
