"""Virtual peripherals, a bleak backend over them, and an embedded broker (the extra ``[sim]``)."""
