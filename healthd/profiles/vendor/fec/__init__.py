"""FE-C over Bluetooth: bike trainers of Tacx (Neo, Flux, Vortex, Bushido, Genius Smart).

Sources: "How-to FE-C over BLE" of Tacx (jedla22/BleTrainerControl) and a capture of a NEO 2T for
the frames; checked against JuergenLeber/SHIFTR, src/BTDeviceManager.cpp (checksum, commands, page
54), incyclist/devices, src/ble/tacx/sensor.ts with its tests (pages 16, 25, 81), and
zacharyedwardbull/pycycling, pycycling/tacx_trainer_control.py (pages, command status). Where they
differ:

- The checksum is the XOR of all bytes before it, as SHIFTR writes it and all captures have it.
  pycycling writes their sum, which trainers take because they do not check. A frame with another
  checksum is not decoded.
- Resistance is a share of the greatest one (SHIFTR divides by the newtons of page 54 first).
  pycycling calls it newtons, and writes the same byte.
- The distance of the last page is not the elapsed time: incyclist computes with that.
- The event count wraps at 256; incyclist adds 255.
"""

from collections.abc import Collection, Iterable

from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.profiles.common.machines import FEC_CONTROL as CONTROL
from healthd.profiles.common.machines import FEC_DATA as DATA
from healthd.profiles.profile import Profile
from healthd.profiles.vendor.fec.pages import FecPage, decode_page
from healthd.profiles.vendor.fec.records import DERIVED, Pages

SERVICE = "6e40fec1-b5a3-f393-e0a9-e50e24dcca9e"

_FITNESS_MACHINE = "1826"


class _Whole:
    """Every write is a frame; what a trainer sends is a stream."""

    def cut(self, frame: bytes) -> Iterable[tuple[str, bytes]]:
        """Return the frame as it is."""
        return ((CONTROL, frame),)

    def join(self, uuid: str, piece: bytes) -> Iterable[bytes]:
        """Return nothing: nothing is notified."""
        del uuid, piece
        return ()


def _framing(_uuids: Collection[str]) -> _Whole:
    return _Whole()


# Some trainers let the control point be written without a response only.
_CHANNEL = Channel(writes=(CONTROL,), notifies=(), framing=_framing)

PROFILE = Profile(
    name="fec",
    service=SERVICE,
    characteristics=(
        Characteristic(DATA, FecPage, decode_page, Use.STREAM),
        Characteristic(CONTROL, FecPage, decode_page, Use.CONTROL, channel=_CHANNEL),
    ),
    state=Pages,
    derived=DERIVED,
    # Not all of them have room for the service in their advertisements (SHIFTR).
    names=tuple(f"tacx {model}*" for model in ("neo", "flux", "vortex", "bushido", "genius")),
    # The standard has ranges and answers. Newer trainers have both services.
    gives_way_to=(_FITNESS_MACHINE,),
)
