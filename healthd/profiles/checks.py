"""What must be right about the profiles together, so that sessions can rely on it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.profile import Profile
from healthd.profiles.uuids import canonical_uuid

_CANONICAL = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_profiles(profiles: Sequence[Profile]) -> None:
    """Check everything about these profiles.

    Raises:
        ValueError: two of them share a name or a service, or declare something differently, or what
            they ask, or which gives way to which, does not fit together.
    """
    declared: dict[str, Profile | Characteristic] = {}
    known: dict[str, Characteristic] = {}
    for profile in profiles:
        _declare(declared, f"profile {profile.name}", profile)
        if profile.service:
            _declare(declared, f"service {canonical_uuid(profile.service)}", profile)
        for broadcast in profile.broadcasts:
            _declare(declared, broadcast.uuid, broadcast)
        for characteristic in profile.characteristics:
            _declare(declared, uuid := canonical_uuid(characteristic.uuid), characteristic)
            known[uuid] = characteristic
    check_channels(known.values())
    check_requests(profiles, known)
    check_order(profiles)


def _declare(
    index: dict[str, Profile | Characteristic], name: str, declared: Profile | Characteristic
) -> None:
    if index.setdefault(name, declared) != declared:
        raise ValueError(f"{name} is declared twice, with different contents")


def check_channels(characteristics: Iterable[Characteristic]) -> None:
    """Check the channels of the control points.

    Raises:
        ValueError: one is incomplete, or uses what another characteristic uses, too: a device would
            be subscribed twice.
    """
    owners: dict[str, Characteristic] = {}
    for each in characteristics:
        uuids = [each.uuid]
        if (channel := each.channel) is not None:
            if each.use is not Use.CONTROL:
                raise ValueError(f"{each.uuid} has a channel and is no control point")
            if not channel.writes or each.uuid not in (channel.writes[0], *channel.notifies[:1]):
                text = "must be the first that its channel writes or that notifies"
                raise ValueError(f"{each.uuid} {text}: a device may lack the others")
            if channel.answer_s <= 0 or channel.tries < 1:
                raise ValueError(f"{each.uuid} waits for no answer")
            uuids += [*channel.writes, *channel.notifies]
        for uuid in dict.fromkeys(uuids):
            _check_form(uuid)
            if owners.setdefault(uuid, each) != each:
                raise ValueError(f"{uuid} belongs to {owners[uuid].uuid} and to {each.uuid}")


def check_requests(profiles: Iterable[Profile], known: Mapping[str, Characteristic]) -> None:
    """Check that what profiles ask goes to control points that are declared.

    Args:
        profiles: all profiles.
        known: the characteristics of all of them, by canonical UUID.

    Raises:
        ValueError: one is not declared, or a number makes no sense.
    """
    for profile in profiles:
        own = {each.uuid for each in profile.characteristics}
        for control in _controls(profile):
            if control not in own:
                raise ValueError(f"{profile.name} asks {control}, which it does not declare")
        others = [request.control for request in profile.commands.values() if request.control]
        if profile.anywhere is not None:
            others.append(profile.anywhere.control)
        for control in others:
            if control not in known:
                raise ValueError(f"{profile.name} writes {control}, which no profile declares")
        if profile.polling is not None and profile.polling.every_s <= 0:
            raise ValueError(f"{profile.name} is polled without a pause")
        if profile.pairing is not None and profile.pairing.size_bytes <= 0:
            raise ValueError(f"{profile.name} is paired with a key of no bytes")


def check_order(profiles: Iterable[Profile]) -> None:
    """Check which profiles give way to which.

    Raises:
        ValueError: two give way to each other, or one to itself: a device would have none of them.
    """
    by_service = {profile.service: profile for profile in profiles if profile.service}
    loses: set[tuple[str, str]] = set()
    for service, profile in by_service.items():
        for uuid in (*profile.replaces, *profile.gives_way_to):
            _check_form(uuid)
        loses |= {(uuid, service) for uuid in profile.replaces}
        loses |= {(service, uuid) for uuid in profile.gives_way_to}
    for worse, better in loses:
        if (better, worse) in loses:
            names = " and ".join(sorted({by_service[each].name for each in (worse, better)}))
            raise ValueError(f"{names} give way to each other")


def _controls(profile: Profile) -> Iterator[str]:
    for asked in (profile.opening, profile.polling, profile.pairing):
        if asked is not None:
            yield asked.control


def _check_form(uuid: str) -> None:
    if not _CANONICAL.fullmatch(uuid):
        raise ValueError(f"{uuid} is not in the form of Characteristic.uuid")
