"""No sample is lost, and no stream is silent for long, while nodes of a cluster die."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.cluster import Cluster
from tests.clusters.nats import Nats
from tests.clusters.rabbitmq import RabbitMq
from tests.clusters.rig import Figures, Rig
from tests.clusters.trees import NEW, OLD, why_unusable

# How long a stream may be silent in addition to the time that the cluster needs for itself.
_LONGEST_HOLE_S = 10.0

# Long enough for every fault of a cluster to show itself.
_DEAD_S, _BACK_S = 15.0, 8.0
_FLAPS = 3
_FLAP_UP_S = 2.0

_CLUSTERS = [
    pytest.param(RabbitMq, OLD, "3.1.1", id="rabbitmq-3.10"),
    pytest.param(RabbitMq, NEW, "5", id="rabbitmq-4-mqtt5"),
    pytest.param(Nats, OLD, "3.1.1", id="nats-2.9"),
    pytest.param(Nats, NEW, "3.1.1", id="nats-2.15"),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "suite", "version"), _CLUSTERS)
async def test_nodes_are_killed(
    kind: Callable[[str, Path], Cluster],
    suite: str,
    version: str,
    tmp_path: Path,
    figures: list[Figures],
) -> None:
    if (why := why_unusable(suite)) is not None:
        pytest.skip(f"NOT TESTED: {why}")
    (shared := tmp_path / "cluster").mkdir()
    async with kind(suite, shared) as cluster, Rig(cluster, tmp_path, version) as rig:
        waits = [await _kill_and_restart(rig) for _ in range(2)]
        waits.append(await _flap(rig))
        by_name, by_wildcard = await rig.retained(), await rig.retained("healthd/#")
        verdict = await rig.finish()
    figures.append(
        Figures(
            cluster=cluster.title,
            mqtt=version,
            acknowledged=str(verdict.acknowledged),
            lost=str(len(verdict.lost)),
            lost_by_the_cluster_itself=str(verdict.cluster_lost),
            longest_hole=f"{verdict.longest_hole_s:.1f} s",
            cluster_itself=f"{verdict.cluster_s:.1f} s",
            late=str(verdict.late),
            duplicates=str(verdict.duplicates),
            request_answered=f"{max(waits):.1f} s",
            retained_on_each_node=" ".join(map(str, by_name)),
            to_wildcards=" ".join(map(str, by_wildcard)),
        )
    )
    assert not verdict.lost, f"the cluster itself has lost {verdict.cluster_lost}"
    assert not verdict.held
    assert verdict.longest_hole_s < verdict.cluster_s + _LONGEST_HOLE_S, verdict.hole_s


async def _kill_and_restart(rig: Rig) -> float:
    node = await rig.connected_to()
    await rig.kill(node)
    await asyncio.sleep(_DEAD_S)
    assert await rig.connected_to() is not node
    await rig.restart(node)
    waited = await rig.answered_s()
    await asyncio.sleep(_BACK_S)
    return waited


async def _flap(rig: Rig) -> float:
    # One node only: two that die in short order would leave the cluster without a quorum.
    node = await rig.connected_to()
    for _ in range(_FLAPS):
        await rig.kill(node)
        await rig.restart(node)
        await asyncio.sleep(_FLAP_UP_S)
    waited = await rig.answered_s()
    await asyncio.sleep(_BACK_S)
    return waited
