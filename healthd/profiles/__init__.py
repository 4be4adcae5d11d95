"""GATT profiles: pure decoding, one module per Bluetooth profile."""
