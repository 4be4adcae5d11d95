"""Captures of the air: packets of the link layer, as a sniffer hears them."""
