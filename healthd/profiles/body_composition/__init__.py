"""Body Composition service (0x181B). Layouts: GATT Specification Supplement."""

from collections.abc import Iterable
from dataclasses import replace

from healthd.profiles.body_composition.measurement import (
    BodyComposition,
    BodyCompositionFeatures,
    IntermediateBodyComposition,
    decode_body_composition,
    decode_feature,
)
from healthd.profiles.body_composition.packets import PacketJoiner
from healthd.profiles.characteristic import Characteristic, Use
from healthd.profiles.common.weighing import (
    are_one,
    is_over,
    phase_of,
    same_s,
    wait_for_impedance_s,
)
from healthd.profiles.link_state import Timed
from healthd.profiles.options import Options
from healthd.profiles.profile import Profile
from healthd.profiles.results.episodes import Episodes
from healthd.profiles.results.kind import Phase, ResultKind
from healthd.samples import Measurement

# Without these, a scale has measured nothing. The basal metabolism only depends on the user.
_MEASURED = (
    "body_fat_pct",
    "muscle_pct",
    "muscle_mass_kg",
    "fat_free_mass_kg",
    "soft_lean_mass_kg",
    "body_water_mass_kg",
    "impedance_ohm",
    "weight_kg",
)


def _phase(packet: BodyComposition) -> Phase:
    return phase_of(packet, tuple(getattr(packet, key) for key in _MEASURED))


def _intermediate(packet: BodyComposition) -> IntermediateBodyComposition:
    return IntermediateBodyComposition.of(packet.fields())


def _wait_s(result: BodyComposition) -> float:
    return wait_for_impedance_s(result, result.impedance_ohm)


_KIND = ResultKind(
    model=BodyComposition,
    intermediate=_intermediate,
    phase=_phase,
    # Not the impedance: a scale may send the same weighing without it first.
    values=("weight_kg", "body_fat_pct"),
    updates=are_one,
    same_s=same_s,
    wait_s=_wait_s,
)


_ADVERTISED = replace(_KIND, has_memory=False, is_repetition=is_over)


def advertised_body_composition(options: Options) -> Episodes:
    """Return what makes results of the packets that a scale advertises."""
    return Episodes(_ADVERTISED, options)


class BodyCompositionState:
    """Joins packets, and makes results of them, during one link."""

    def __init__(self, options: Options) -> None:
        """Start with nothing held back."""
        self._joiner = PacketJoiner()
        self._episodes = Episodes(_KIND, options)

    @property
    def due_ns(self) -> int | None:
        """When to call ``settle``."""
        return self._episodes.due_ns

    @property
    def held(self) -> Iterable[Timed]:
        """What would be lost if the process died now."""
        # Not a first packet: its second one follows within milliseconds.
        return self._episodes.held

    def take(self, measurement: Measurement, mono_ns: int) -> Iterable[Timed]:
        """Return what to publish after a packet."""
        return self._made_of(self._joiner.take(measurement, mono_ns))

    def settle(self, mono_ns: int) -> Iterable[Timed]:
        """Return the result that has been held back for long enough."""
        return self._episodes.settle(mono_ns)

    def end(self) -> Iterable[Timed]:
        """Return what is held back: nothing follows on this link."""
        return [*self._made_of(self._joiner.end()), *self._episodes.end()]

    def _made_of(self, joined: Iterable[Timed]) -> list[Timed]:
        return [
            timed
            for packet in joined
            for timed in self._episodes.take(packet.measurement, packet.mono_ns)
        ]


PROFILE = Profile(
    name="body_composition",
    service="181b",
    characteristics=(
        Characteristic("2a9c", BodyComposition, decode_body_composition, Use.STREAM),
        Characteristic("2a9b", BodyCompositionFeatures, decode_feature, Use.STATIC),
    ),
    state=BodyCompositionState,
    derived=(IntermediateBodyComposition,),
)
