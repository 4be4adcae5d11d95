"""One gateway: builds its parts, starts, stops and reloads them."""
