"""How many decimals a value needs: those that its device's resolution carries, and no more.

Converting units makes endless fractions: 29.33 km/h are 8.147222222222222 m/s. The further digits
say nothing about the device, and they make payloads longer.
"""

from fractions import Fraction

# A step such as 4.184 kJ or 0.005 kg is a short decimal, and so are its multiples.
_SHORT = 4


def decimals(step: Fraction) -> int:
    """Return the number of decimals that multiples of a step need.

    As few as possible, so that rounding moves no value by more than a quarter of the step:
    neighbouring values stay distinct, and each can be converted back. A step with at most four
    decimals keeps them all. Negative: only tens, hundreds and so on are needed.
    """
    found = 0
    while Fraction(10) ** -found > step / 2:
        found += 1
    while Fraction(10) ** (1 - found) <= step / 2:
        found -= 1
    exact = (count for count in range(max(found, _SHORT) + 1) if step * 10**count % 1 == 0)
    return next(exact, found)
