import pytest

from healthd.profiles.dialogue import ExchangeRefused
from healthd.profiles.vendor import omron, omron_modern
from healthd.profiles.vendor.omron.keys import PAIRING, UNLOCK, agree, show_token, unlock
from healthd.simulator.vendor.omron_memory import Cuff, Memory
from tests.support.cuff_link import Disk, Link

KEY = bytes(range(16))


def link(model: str = "HEM-7361T", **more: object) -> Link:
    return Link(Cuff(Memory(model), **more), Disk())  # type: ignore[arg-type]


def test_a_key_is_agreed_once_the_bond_is_made() -> None:
    made = link(is_pairing=True, refusals=3)
    made.run(PAIRING.exchange(KEY), PAIRING.control)
    assert made.cuff.key == KEY
    assert not made.cuff.is_pairing
    # The request is that of omblepy, and is repeated while the cuff refuses.
    enter = bytes.fromhex("0200000000000000000000000000000000")
    assert made.asked == [*[enter] * 4, b"\0" + KEY]
    opened = link(key=made.cuff.key)
    opened.run(unlock(KEY))
    assert opened.asked == [b"\x01" + KEY]


def test_a_cuff_that_is_not_in_its_pairing_mode_takes_no_key() -> None:
    made = link(key=b"another one's key")
    with pytest.raises(ExchangeRefused, match="hold the cuff's Bluetooth button until -P- blinks"):
        made.run(agree(KEY), UNLOCK.uuid)
    assert len(made.asked) == 10
    assert made.cuff.key == b"another one's key"


def test_a_cuff_that_never_makes_a_bond_takes_no_key() -> None:
    made = link(is_pairing=True, refusals=10)
    with pytest.raises(ExchangeRefused, match="not in pairing mode"):
        made.run(agree(KEY), UNLOCK.uuid)
    assert made.cuff.key is None


def test_without_a_key_the_refusal_says_how_to_get_one() -> None:
    made = link(key=KEY)
    with pytest.raises(ExchangeRefused, match="run healthd pair ID"):
        made.run(unlock(None))
    assert made.asked == []


def test_a_cuff_with_another_key_is_not_opened() -> None:
    made = link(key=KEY)
    with pytest.raises(ExchangeRefused, match=r"another key \(4\): run healthd pair ID --again"):
        made.run(unlock(bytes(16)))


def test_a_modern_cuff_is_greeted() -> None:
    made = link("HEM-7380T1")
    made.run(show_token())
    [request] = made.asked
    assert len(request) == 20
    assert request[0] == 0x11


def test_a_modern_cuff_that_ignores_the_greeting_is_read_all_the_same() -> None:
    # userx14/omblepy reads a HEM-7380T1 without one.
    made = link("HEM-7380T1")
    made.loses = lambda number: number == 0
    made.run(show_token())
    assert len(made.asked) == 1


def test_what_the_profiles_declare() -> None:
    assert omron.PROFILE.pairing is PAIRING
    assert PAIRING.size_bytes == len(KEY)
    assert omron_modern.PROFILE.pairing is None
    for profile in (omron.PROFILE, omron_modern.PROFILE):
        assert "healthd pair ID" in profile.hint
        assert profile.names == ("BLEsmart_*",)
        assert profile.opening is not None
        assert profile.opening.abort.hex() == "080f000000000007"
