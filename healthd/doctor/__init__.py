"""The checks of ``healthd doctor``: one module per subject; they change nothing."""
