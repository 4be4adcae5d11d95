"""The rings of Wellue and Viatom: O2Ring, Checkme O2, SleepU, KidsO2, Oxylink, O2 Max and others.

The ring measures while it is worn and stores each night. It says nothing unasked: it is polled, and
the stored nights are read as files. Its pulse wave is left out: an answer has a piece of it, and no
source shows how much is missing between two pieces, or when a piece was measured. The O2Ring S is
another device: it speaks another protocol over another service.

Sources: viatom-develop/LepuBle (the maker's library: OxyBleCmd, OxyBleResponse, OxyDataFile,
OxyBleInterface, OxyBleManager, Bluetooth), MackeyStingray/o2r (o2pkt, o2state, o2file),
ecostech/viatom-ble (protocol, client), home-health-hub/viatom-o2ring-ble (protocol, file, README),
OSCAR (viatom_loader: what is in stored files). Where they differ:

- Live values: LepuBle asks for 1B, o2r and viatom-ble for 17. Each is asked for if the other one is
  not answered.
- Version of a stored file: u16 in o2r and OSCAR. The maker's library reads u8 and a mode, which is
  not 0 for all files.
- Pulse of a stored record: u8 and a mark for invalid ones in o2r and OSCAR, u16 in the maker's
  library. Invalid ones are FF in all three bytes, so the results are the same.
- Results of the whole night, from byte 21 on: the maker's library and o2r read them from different
  places, so they are left out.
- Writes: LepuBle and viatom-o2ring-ble do not ask for an acknowledgement, and a KidsO2 refuses it.
"""

from healthd.profiles.battery import Battery
from healthd.profiles.characteristic import Channel, Characteristic, Use
from healthd.profiles.dialogue import Opening, Polling
from healthd.profiles.profile import Profile
from healthd.profiles.pulse_oximeter import PulseOximeter
from healthd.profiles.vendor.o2ring.dialogue import open_ring, poll_ring
from healthd.profiles.vendor.o2ring.framing import (
    CLOSE,
    NOTIFY,
    WRITE,
    RingFraming,
    answers,
    request,
)
from healthd.profiles.vendor.o2ring.state import RingMessage, RingState, decode_message

# The maker's app waits 3 s for an answer.
_ANSWER_S, _TRIES = 3.0, 3

# The ring averages over several seconds; o2r, viatom-ble and the maker's PC program ask this often.
_EVERY_S = 2.0

PROFILE = Profile(
    name="o2ring",
    service="14839ac4-7d7e-415c-9a42-167340cf2339",
    characteristics=(
        Characteristic(
            WRITE,
            RingMessage,
            decode_message,
            Use.CONTROL,
            channel=Channel(
                (WRITE,),
                (NOTIFY,),
                RingFraming,
                acknowledged=False,
                answers=answers,
                answer_s=_ANSWER_S,
                tries=_TRIES,
            ),
        ),
    ),
    state=RingState,
    opening=Opening(WRITE, open_ring, abort=request(CLOSE)),
    derived=(PulseOximeter, Battery),
    polling=Polling(WRITE, poll_ring, _EVERY_S),
    # The maker's app accepts all names with O2 in their first word. These are those that are known:
    # meters of CO2, for example, have it in their names, too.
    names=(
        *("o2ring*", "checko2*", "checkme_o2*", "checkme o2*", "wearo2*", "kidso2*", "babyo2*"),
        *("sleepo2*", "sleepu*", "oxylink*", "o2m", "o2m *", "o2nci*", "o2band*"),
        *("o2 max*", "o2max*", "cmring", "cmring *"),
    ),
)
