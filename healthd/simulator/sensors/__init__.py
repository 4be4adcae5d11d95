"""Sensors for sport: on a bicycle, on a shoe, under the sky."""
