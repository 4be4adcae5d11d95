"""Between the units in which Home Assistant may keep an entity's statistics.

It keeps them in the unit that the entity had when they began: a person may have chosen pounds. The
factors are exact by definition (NIST SP 811, appendix B), except for mg/dL: there it is Home
Assistant's own, 180.16 g of glucose per mol.
"""

from typing import NamedTuple


class Conversion(NamedTuple):
    """``other = ours * factor + offset``."""

    factor: float
    offset: float = 0.0

    def there(self, value: float) -> float:
        """Return one of our values in the other unit."""
        return value * self.factor + self.offset

    def back(self, value: float) -> float:
        """Return a value of the other unit in ours."""
        return (value - self.offset) / self.factor

    def after(self, factor: float) -> "Conversion":
        """Return the conversion of values that are multiplied by this factor first."""
        return Conversion(factor * self.factor, self.offset)


_LB, _MILE, _FOOT = 0.45359237, 1609.344, 0.3048

# Units of the same quantity, each as a multiple of the first one.
_UNITS = (
    {"kg": 1, "g": 1e3, "mg": 1e6, "lb": 1 / _LB, "st": 1 / (14 * _LB), "oz": 16 / _LB},
    {"m/s": 1, "km/h": 3.6, "mph": 3600 / _MILE, "ft/s": 1 / _FOOT},
    {"m": 1, "km": 1e-3, "cm": 1e2, "mi": 1 / _MILE, "ft": 1 / _FOOT, "yd": 1 / (3 * _FOOT)},
    {"kJ": 1, "Wh": 1 / 3.6, "kWh": 1 / 3600, "kcal": 1 / 4.184},
    {"W": 1, "kW": 1e-3},
    {"hPa": 1, "mbar": 1, "Pa": 1e2, "kPa": 0.1, "mmHg": 1 / 1.33322387415},
    {"s": 1, "ms": 1e3, "min": 1 / 60, "h": 1 / 3600},
    {"mmol/L": 1, "mg/dL": 18.016},
)
_TEMPERATURES = {
    ("°C", "°F"): Conversion(1.8, 32),
    ("°C", "K"): Conversion(1, 273.15),
}


def conversion(ours: str, other: str | None) -> Conversion | None:
    """Return how a unit is converted to another one; None if that is not possible."""
    if ours == other:
        return Conversion(1)
    for units in _UNITS:
        if ours in units and other in units:
            return Conversion(units[other] / units[ours])
    return _TEMPERATURES.get((ours, other or ""))
