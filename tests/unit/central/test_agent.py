"""The answers of the pairing agent."""

from typing import Any

import pytest

from healthd.central.agent import Agent, Refusal

OURS, OTHER = "/org/bluez/hci0/dev_C0_00_00_00_00_01", "/org/bluez/hci0/dev_C0_00_00_00_00_02"


async def passkey() -> int | None:
    return 42


async def nothing_typed() -> int | None:
    return None


def test_a_passkey_is_promised_only_if_there_is_one() -> None:
    assert Agent(OURS).capability == "NoInputNoOutput"
    assert Agent(OURS, passkey).capability == "KeyboardDisplay"


NOTHING: tuple[str, list[Any]] = ("", [])

ANSWERS: list[tuple[str, list[Any], tuple[str, list[Any]]]] = [
    ("RequestAuthorization", [OURS], NOTHING),
    ("AuthorizeService", [OURS, "180d"], NOTHING),
    ("RequestConfirmation", [OURS, 123456], NOTHING),
    ("RequestPasskey", [OURS], ("u", [42])),
    ("Release", [], NOTHING),
    ("Cancel", [], NOTHING),
]


@pytest.mark.parametrize(("member", "body", "answer"), ANSWERS)
async def test_our_device_is_answered(member: str, body: list[Any], answer: Any) -> None:
    assert await Agent(OURS, passkey).answer(member, body) == answer


@pytest.mark.parametrize(
    ("member", "more"),
    [
        ("RequestAuthorization", []),
        ("AuthorizeService", ["180d"]),
        ("RequestConfirmation", [123456]),
        ("RequestPasskey", []),
        ("DisplayPasskey", [123456, 0]),
        ("RequestPinCode", []),
    ],
)
async def test_another_device_is_refused(member: str, more: list[Any]) -> None:
    shown: list[str] = []
    with pytest.raises(Refusal, match="not a device"):
        await Agent(OURS, passkey, shown.append).answer(member, [OTHER, *more])
    assert shown == []


@pytest.mark.parametrize("agent", [Agent(OURS), Agent(OURS, nothing_typed)])
async def test_without_a_passkey_the_answer_is_refused(agent: Agent) -> None:
    with pytest.raises(Refusal, match="no passkey"):
        await agent.answer("RequestPasskey", [OURS])


@pytest.mark.parametrize("member", ["RequestPinCode", "DisplayPinCode", "Surprise"])
async def test_questions_for_classic_bluetooth_are_refused(member: str) -> None:
    with pytest.raises(Refusal, match=member):
        await Agent(OURS, passkey).answer(member, [OURS])


async def test_a_displayed_passkey_has_six_digits() -> None:
    shown: list[str] = []
    assert await Agent(OURS, show=shown.append).answer("DisplayPasskey", [OURS, 42, 0]) == ("", [])
    assert shown == ["000042"]
