"""From the units of our payloads to others in which Home Assistant may keep an entity's statistics.

Home Assistant keeps them in the unit that the entity had when they began: a person may have chosen
pounds. The factors are exact by definition (NIST SP 811, appendix B), except for mg/dL: there it is
Home Assistant's own, 180.16 g of glucose per mol.
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


_LB, _MILE, _FOOT = 0.45359237, 1609.344, 0.3048
_WH_KJ, _KCAL_KJ = 3.6, 4.184

_CONVERSIONS = {
    ("kg", "lb"): Conversion(1 / _LB),
    ("kg", "st"): Conversion(1 / (14 * _LB)),
    ("kg", "oz"): Conversion(16 / _LB),
    ("kg", "g"): Conversion(1e3),
    ("kg", "mg"): Conversion(1e6),
    ("m/s", "km/h"): Conversion(3.6),
    ("m/s", "mph"): Conversion(3600 / _MILE),
    ("m/s", "ft/s"): Conversion(1 / _FOOT),
    ("m", "km"): Conversion(1e-3),
    ("m", "cm"): Conversion(100),
    ("m", "mi"): Conversion(1 / _MILE),
    ("m", "ft"): Conversion(1 / _FOOT),
    ("kJ", "Wh"): Conversion(1 / _WH_KJ),
    ("kJ", "kWh"): Conversion(1e-3 / _WH_KJ),
    ("kJ", "kcal"): Conversion(1 / _KCAL_KJ),
    ("W", "kW"): Conversion(1e-3),
    ("hPa", "Pa"): Conversion(100),
    ("hPa", "kPa"): Conversion(0.1),
    ("hPa", "mbar"): Conversion(1),
    ("mmHg", "kPa"): Conversion(0.133322387415),
    ("°C", "°F"): Conversion(1.8, 32),
    ("°C", "K"): Conversion(1, 273.15),
    ("mmol/L", "mg/dL"): Conversion(18.016),
    ("s", "ms"): Conversion(1e3),
    ("s", "min"): Conversion(1 / 60),
    ("s", "h"): Conversion(1 / 3600),
    ("ms", "s"): Conversion(1e-3),
}
_SAME = Conversion(1)


def conversion(ours: str, other: str | None) -> Conversion | None:
    """Return how a unit is converted to another one; None if that is not possible."""
    return _SAME if ours == other else _CONVERSIONS.get((ours, other or ""))
