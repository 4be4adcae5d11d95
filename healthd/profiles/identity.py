"""How a device identifies itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """How a device identifies itself; a text is empty while it is not known.

    Attributes:
        name: the advertised name.
        maker: the manufacturer name from Device Information.
        model: the model number from Device Information.
    """

    name: str = ""
    maker: str = ""
    model: str = ""
