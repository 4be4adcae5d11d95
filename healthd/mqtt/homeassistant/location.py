"""Where a peripheral is, for Home Assistant's map and zones."""

from collections.abc import Collection, Iterator

from healthd.mqtt.homeassistant.components import Component, Config
from healthd.mqtt.homeassistant.fields import PAYLOAD

_LATITUDE, _LONGITUDE = "latitude_deg", "longitude_deg"

# A message without a position must not have these attributes: Home Assistant would log each one.
_ATTRIBUTES = (
    f"{{% set message = {PAYLOAD} %}}"
    "{% set lat, lon = message.latitude_deg, message.longitude_deg %}"
    "{% set known = lat is number and lon is number %}"
    "{{ {'latitude': lat, 'longitude': lon} | tojson if known else '{}' }}"
)


def tracker(kind: str, known: Collection[str], shared: Config) -> Iterator[Component]:
    """Yield the tracker of a stream that has positions.

    Args:
        kind: of the stream.
        known: the keys that it has.
        shared: what its entities share.
    """
    if _LATITUDE in known and _LONGITUDE in known:
        config: Config = {
            "json_attr_t": shared["stat_t"],
            "json_attr_tpl": _ATTRIBUTES,
            "ic": "mdi:map-marker",
        }
        if "avty" in shared:
            config["avty"] = shared["avty"]
        yield Component(f"{kind}_position", "device_tracker", "Position", config)
