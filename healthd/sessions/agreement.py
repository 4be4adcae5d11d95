"""Agrees on a key with a device: the dialogue of its profile, while the user is present."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from healthd.central.link import Link
from healthd.errors import DecodeError, HealthdError
from healthd.profiles.characteristic import Characteristic
from healthd.profiles.dialogue import ExchangeRefused, NoAnswer, Pairing
from healthd.profiles.registry import Registry
from healthd.sessions.control_point import ControlPoints, Silent
from healthd.sessions.conversation import Conversation, Endless, Patience, converse

# For the whole dialogue. A device waits for a bond meanwhile, and for that BlueZ may ask the user.
_LONGEST_S = 120.0


class NotAgreed(HealthdError):
    """The device has not accepted the key; the text says what happened."""


@dataclass
class _Heard:
    """What streams send: nothing, as none is subscribed."""

    heard: dict[str, float]
    received: Counter[str]


def pairing_of(link: Link, registry: Registry) -> Pairing | None:
    """Return how a key is agreed with the device of this link; None if it needs none."""
    profiles = [registry.service(uuid) for uuid in sorted(link.services)]
    return next((profile.pairing for profile in profiles if profile and profile.pairing), None)


async def agree(link: Link, registry: Registry, pairing: Pairing, key: bytes) -> None:
    """Make a device accept a key.

    Args:
        link: an open link to it.
        registry: what healthd reads.
        pairing: how it is done.
        key: the new key.

    Raises:
        NotAgreed: the device does not answer, or refuses.
        LinkFault: the link ended, or the device refuses a request.
    """
    dialogue = asyncio.create_task(_talk(link, registry, pairing, key), name="agree")
    lost = asyncio.create_task(link.lost(), name="agree link end")
    try:
        await asyncio.wait({dialogue, lost}, return_when=asyncio.FIRST_COMPLETED)
        # A device may hang up as soon as it has the key.
        await (dialogue if dialogue.done() else lost)
    finally:
        for task in (dialogue, lost):
            task.cancel()
        await asyncio.gather(dialogue, lost, return_exceptions=True)


async def _talk(link: Link, registry: Registry, pairing: Pairing, key: bytes) -> None:
    def on_message(_control: Characteristic, _message: bytes) -> None:
        """Keep nothing: the key is among the messages."""

    points = ControlPoints(link, registry, on_message)
    patience = Patience(_Heard({}, Counter()), [])
    dialogue = pairing.exchange(key)
    try:
        async with asyncio.timeout(_LONGEST_S):
            async with Conversation(points, pairing.control, patience) as talk:
                if (request := next(dialogue, None)) is not None:
                    await converse(dialogue, request, talk.ask)
    except (Silent, NoAnswer) as silence:
        raise NotAgreed(f"the device does not answer ({silence})") from silence
    except (ExchangeRefused, DecodeError) as refusal:
        raise NotAgreed(f"the device refuses: {refusal}") from refusal
    except (TimeoutError, Endless) as error:
        raise NotAgreed(f"the device did not agree within {_LONGEST_S:.0f} s") from error
    finally:
        dialogue.close()
