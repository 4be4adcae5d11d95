"""Health devices: occasional measurements, and stored records to fetch."""
