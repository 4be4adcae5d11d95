"""People in the settings of a running daemon: results change, links do not."""

from pathlib import Path
from typing import Any

from healthd.settings.model import Settings
from tests.end_to_end.reload_rig import ReloadRig, entry, of_healthd, retained, topic
from tests.end_to_end.shared_scale import Scale
from tests.support.conformity import conform
from tests.support.subscriber import Subscriber

ANNA = '[[people]]\nid = "anna"\nweight_kg = {}'
OF_ANNA = topic("scale", "person/anna/weight")


async def test_people_come_change_and_go_while_the_scale_stays_linked(
    subscriber: Subscriber, settings: dict[str, Any], tmp_path: Path
) -> None:
    rig, scale = ReloadRig(tmp_path, settings, entry("scale", 4)), Scale()
    (broker,) = Settings.model_validate(settings).mqtt.brokers
    assert broker.port is not None
    async with rig.running(None, scale.device):
        assert "person" not in await scale.weigh(61.4, subscriber)
        rig.append(ANNA.format(62))
        await rig.reload()
        assert (await scale.weigh(61.5, subscriber))["person"] == "anna"
        assert OF_ANNA in await retained(broker.port)
        rig.write(settings, entry("scale", 4))
        rig.append(ANNA.format(70))
        await rig.reload()
        assert (await scale.weigh(61.6, subscriber))["unattributed"] == "no_match"
        assert (await scale.weigh(69.0, subscriber))["person"] == "anna"
        # Bad settings change nothing.
        rig.append("tolerance_kg = 0")
        await rig.reload()
        assert (await scale.weigh(69.1, subscriber))["person"] == "anna"
        rig.write(settings, entry("scale", 4))
        await rig.reload()
        await subscriber.until_payload(OF_ANNA, b"")
        assert "person" not in await scale.weigh(69.2, subscriber)
        assert OF_ANNA not in await retained(broker.port)
        assert scale.device.links == 1
    assert conform(of_healthd(subscriber)) >= {"weight", "person_weight"}
    assert not [line for line in rig.log if line["log_level"] != "debug" and "anna" in str(line)]
