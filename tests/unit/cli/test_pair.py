"""``healthd pair`` for peripherals that cannot be paired."""

from pathlib import Path

import pytest

from healthd.cli import pair


async def test_what_is_only_listened_to_needs_no_bond(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "healthd.toml"
    config.write_text('[[peripherals]]\nid = "bike"\nname = "Bike"\nconnect = false\n')
    run = pair._run  # pyright: ignore[reportPrivateUsage]
    assert await run("bike", config, again=False) == 2
    assert "bike only advertises" in capsys.readouterr().err
