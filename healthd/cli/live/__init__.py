"""The live views of ``healthd watch`` and ``healthd demo``."""
