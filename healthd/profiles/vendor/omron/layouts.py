"""Where each model keeps its records, and which models are alike.

Addresses, record sizes and the order of bytes agree in userx14/omblepy (deviceSpecific/*.py) and
eigger/hass-omron (omron_ble/device_catalog.py), except for these:

- How much is read at once: 0x38 bytes from a HEM-7322T is what omblepy's author reads from his own
  cuff, hass-omron 0x2C; for a HEM-7600T and a HEM-7380T1 it is hass-omron's number, by its logs.
- A HEM-7600T has 100 records for both, while some models that hass-omron counts as equal have 90 in
  a catalogue that derives from the maker's. Those are left out: behind the records is something
  else.

Which models are alike is only in hass-omron (device_catalog.py and model_names.py, from the
catalogue of the maker's app). A cuff says its model in one of three forms: HEM-7322T-E, the number
on the box (BP7000), or its name (Evolv). Some names mean cuffs of several layouts ("M7 Intelli IT")
and are only known by what is advertised: BLEsmart_, four digits of the group and four of the
model. Pairs of both are rare: userx14/omblepy #5 (7600T), custom-components/ble_monitor #1003
(7361T), rBio (7155T), h2syncLib (7280T), an app on the maker's library (7140T1).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from healthd.profiles.dialogue import ExchangeRefused
from healthd.profiles.identity import Identity

# What makers and users put before the model, as in "OMRON HEM-7322T-E".
_MAKER = "OMRON "
_ADVERTISED = "BLESMART_"
# Of the advertised name: group and model; the address follows.
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """The memory of one family of cuffs; each user has a ring of records.

    Attributes:
        model: the first model that was known to have it.
        order: the order of bytes in numbers of the index and of records.
        index: where the positions of the newest records are.
        users: where the ring of each user begins; the first is user 1.
        records: how many records a ring has.
        record_bytes: the size of a record.
        most_bytes: the most that a read may ask for.
        models: shell patterns of the models with this layout, upper case.
        advertised: the first eight digits of their advertised names, upper case.
    """

    model: str
    order: Literal["little", "big"]
    index: int
    users: tuple[int, ...]
    records: int
    record_bytes: int
    most_bytes: int
    models: tuple[str, ...]
    advertised: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        """How many records a read may ask for."""
        return self.most_bytes // self.record_bytes


CLASSIC = (
    Layout(
        "HEM-7155T",
        "little",
        0x0010,
        (0x0098, 0x0458),
        60,
        0x10,
        0x10,
        (
            "HEM-7155T",
            "HEM-7155T-*",
            "HEM-7155T_*",
            "HEM-7340T",
            "HEM-7340T-*",
            "HEM-7341T",
            "HEM-7341T-*",
            "BP5350",
            "BP7350",
            "BP7350CAN",
            "GOLD",
            "M4 INTELLI IT",
            "M400 INTELLI IT",
            "X4 SMART",
        ),
        ("00000264",),
    ),
    Layout(
        "HEM-7361T",
        "little",
        0x0010,
        (0x0098, 0x06D8),
        100,
        0x10,
        0x10,
        (
            "HEM-7159T*",
            "HEM-7342T*",
            "HEM-7343T*",
            "HEM-7344T*",
            "HEM-7344JT*",
            "HEM-7346T*",
            "HEM-7347T*",
            "HEM-7349T*",
            "HEM-7361T*",
            "BP5450",
            "BP7450",
            "BP7450CAN",
            "BP7455CAN",
            "HCR-7502T",
            "HCR-750AT",
            "HCR-7601T",
            "HCR-7602T",
            "HCR-7612T2",
            "HCR-761AT2",
            "HCR-7711T2",
            "HCR-7712T2",
            "JPN616T",
            "JPN710T",
            "M500 INTELLI IT",
            "PLATINUM",
            "X7 SMART",
        ),
        ("00000258",),
    ),
    Layout(
        "HEM-7322T",
        "big",
        0x0260,
        (0x02AC, 0x0824),
        100,
        0x0E,
        0x38,
        (
            "HEM-7280T*",
            "HEM-7281T*",
            "HEM-7282T*",
            "HEM-7321T*",
            "HEM-7322T*",
            "BP786|CAN",
            "BP786CANN",
            "BP786N",
            "M700 INTELLI IT",
            "MIT5S",
        ),
        ("00000413",),
    ),
    Layout(
        "HEM-7600T",
        "big",
        0x0260,
        (0x02AC,),
        100,
        0x0E,
        0x2C,
        (
            "HEM-7271T",
            "HEM-7600T",
            "HEM-7600T-E",
            "HEM-7600T-Z",
            "HEM-7600T-ZCD6BK",
            "HEM-7600T2-JF",
            "BP7000",
            "EVOLV",
            "HCR-7608T2",
        ),
        ("00000340",),
    ),
    Layout(
        "HEM-7530T",
        "big",
        0x0260,
        (0x02E8,),
        90,
        0x0E,
        0x10,
        (
            "HEM-6231T2-*",
            "HEM-7271P-SH3",
            "HEM-7271T_SH3",
            "HEM-7530T*",
            "HEM-8630T-SH",
            "BP7900",
            "COMPLETE",
            "COMPLETE(HEM-7530T1)",
            "HCR-7800T",
        ),
    ),
)
"""The layouts of the classic stack."""

MODERN = (
    Layout(
        "HEM-7142T2",
        "little",
        0x0260,
        (0x02E8,),
        14,
        0x0E,
        0x2C,
        (
            "HEM-7138K-SH",
            "HEM-7140T1*",
            "HEM-7141T1*",
            "HEM-7142T1*",
            "HEM-7142T2*",
            "3 SERIES UPPER ARM",
            "BP5150",
            "BP7150",
            "BRONZE UPPER ARM",
        ),
        ("0000047E",),
    ),
    Layout(
        "HEM-7380T1",
        "little",
        0x0010,
        (0x01C4, 0x0804),
        100,
        0x10,
        0x38,
        (
            "HEM-7380T",
            "HEM-7380T1*",
            "HEM-7383T1-AP",
            "HEM-7384T1-NBBR",
            "M7 INTELLI IT AFIB",
            "X7 SMART AFIB",
        ),
    ),
)
"""The layouts of the modern stack."""

LAYOUTS = {layout.model: layout for layout in (*CLASSIC, *MODERN)}


def find_layout(layouts: Iterable[Layout], device: Identity) -> Layout:
    """Return the layout of a cuff.

    Args:
        layouts: those of its stack.
        device: how it identifies itself.

    Raises:
        ExchangeRefused: its model is not among them, or it does not say which it is.
    """
    known = tuple(layouts)
    model = device.model.strip().upper().removeprefix(_MAKER)
    for layout in known:
        if any(fnmatchcase(model, pattern) for pattern in layout.models):
            return layout
    name = device.name.upper()
    if name.startswith(_ADVERTISED):
        digits = name.removeprefix(_ADVERTISED)[:_DIGITS]
        for layout in known:
            if digits in layout.advertised:
                return layout
    # Guessing would publish nonsense: what is read from another place looks like a record, too.
    raise ExchangeRefused(
        f"model {device.model or device.name or 'unknown'}: healthd does not know where it keeps"
        " its records; please report the model. Without its key (delete keys/ID next to the outbox)"
        " its Blood Pressure service is read"
    )
