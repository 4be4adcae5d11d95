"""paho's tables are patched once a client exists, and not by an import."""

import subprocess
import sys

import pytest

_PATCH = "from healthd.mqtt.packets import patch_paho; patch_paho()\n"

_IMPORT_AND_MAKE = """
import asyncio
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

before = ReasonCode.names, Properties.__init__

from healthd.mqtt.acked_client import AckedClient
from healthd.mqtt.endpoints import Endpoint

assert (ReasonCode.names, Properties.__init__) == before, "patched by an import"


async def make():
    AckedClient(Endpoint("localhost", 1883, "5", "under-test"))
    return ReasonCode.names, Properties.__init__


patched = asyncio.run(make())
assert patched[0] is not before[0] and patched[1] is not before[1]
assert asyncio.run(make()) == patched, "patched twice"
"""

_PUBACK = """
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

found = ReasonCode(PacketTypes.PUBACK, identifier={code})
assert found.is_failure and found.value == {code}, found
"""

_PACK = """
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

properties = Properties(PacketTypes.PUBLISH)
properties.ContentType = "application/json"
properties.UserProperty = [("schema", "heart_rate/1")]
properties.MessageExpiryInterval = 180
print(properties.pack().hex())
"""


def run(script: str) -> bytes:
    """What a new interpreter prints."""
    command = (sys.executable, "-c", script)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=30).stdout


def test_the_first_client_patches_paho_and_an_import_does_not() -> None:
    run(_IMPORT_AND_MAKE)


@pytest.mark.parametrize("code", [0x80, 0x87, 0x95, 0x9F])
def test_every_failure_may_be_in_a_puback(code: int) -> None:
    run(_PATCH + _PUBACK.format(code=code))


def test_properties_are_encoded_as_without_the_patch() -> None:
    assert run(_PATCH + _PACK) == run(_PACK) != b""
