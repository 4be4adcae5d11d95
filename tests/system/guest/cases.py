"""All cases, in the order in which they run: the most basic first."""

from tests.system.guest import cases_boot, cases_link
from tests.system.guest.case import CASES

__all__ = ["CASES", "cases_boot", "cases_link"]
