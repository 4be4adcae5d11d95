"""The sessions: what healthd does with the link of one peripheral."""
