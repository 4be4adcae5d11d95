"""All cases, in the order in which they run: the most basic first."""

from types import ModuleType

from tests.system.guest import (
    cases_bluez,
    cases_boot,
    cases_broker,
    cases_commands,
    cases_control,
    cases_install,
    cases_link,
    cases_load,
    cases_pairing,
    cases_periodic,
    cases_records,
    cases_service,
)
from tests.system.guest.case import REGISTERED, Case

# The one that looks at the machine as it has booted is the first of the first.
_ORDER: tuple[ModuleType, ...] = (
    cases_boot,
    cases_link,
    cases_bluez,
    cases_broker,
    cases_load,
    cases_pairing,
    cases_periodic,
    cases_records,
    cases_control,
    cases_commands,
    cases_service,
    cases_install,
)

CASES: dict[str, Case] = {
    one.name: one
    for module in _ORDER
    for one in REGISTERED
    if one.body.__module__ == module.__name__
}

# Nothing can come after it, not even what is asked for beside the cases.
LAST = "uninstall"
