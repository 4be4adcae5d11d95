"""Virtual peripherals, a bleak backend for them, and an embedded broker (the extra ``[sim]``)."""
