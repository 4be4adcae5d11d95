#!/usr/bin/env bash
# ucumvert turns a thousandth of the acceleration of gravity into a milligram.
#
# One expects: `m[g]` is the unit [g], the standard acceleration of free fall, with the prefix milli.
#   UCUM lists [g] as a metric unit, which takes prefixes: m[g] is 0.00980665 m/s2.
# What is true: a mass: the brackets, which are a part of the unit's name, get lost, and m[g] is read
#   like mg. [g] alone is read correctly.
#
# Version: ucumvert 0.3.2, the newest on PyPI
# Date: 2026-11-30
# Source: https://github.com/dalito/ucumvert; The Unified Code for Units of Measure 2.2, table "natural
#   units": [g], metric
# Whom it hurts: programs that convert accelerations by the units of their messages: they get a mass,
#   or an error when they ask for m/s2.
# What helps: replace `m[g]` by `[g]` and divide by 1000 before parsing.
#
# Needs Python 3.11 or newer. Exit code 0: still so. 1: changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ucumvert==0.3.2
timeout 60 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from ucumvert import PintUcumRegistry

print(f"ucumvert {version('ucumvert')}")
registry = PintUcumRegistry()
found = {code: registry.from_ucum(code) for code in ("[g]", "m[g]", "mg")}
for code, unit in found.items():
    print(f"{code:5} {unit.to_base_units()}")
if found["[g]"].is_compatible_with("m/s**2") and found["m[g]"].is_compatible_with("kg"):
    print("still so: a thousandth of the acceleration of gravity is a mass")
else:
    sys.exit("changed: m[g] is an acceleration")
PYTHON
