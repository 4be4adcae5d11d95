"""Characteristics without a confirmed layout."""

import pytest

from healthd.profiles.characteristic import Use
from healthd.profiles.packet.raw import Raw, raw
from healthd.profiles.registry import load
from healthd.samples import Measurement


@pytest.mark.parametrize("service", ["1840", "183e"])
def test_every_characteristic_has_its_own_kind(service: str) -> None:
    profile = load().service(service)
    assert profile is not None
    models = [each.model for each in profile.characteristics]
    assert len({model.kind for model in models}) == len(models)
    assert all(issubclass(model, Raw) for model in models)


def test_is_marked_experimental() -> None:
    decoded = raw("2b8b", "some_kind", Use.STREAM).decode(b"\x0a\xff")
    assert decoded.kind == "some_kind"
    assert decoded.fields() == {"experimental": True, "value_hex": "0aff"}
    assert decoded.schema_version < Measurement.schema_version
    assert type(decoded).model_json_schema()["title"] == "SomeKind"
