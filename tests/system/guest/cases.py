"""All cases, in the order in which they run: the most basic first."""

from types import ModuleType

from tests.system.guest import (
    cases_bluez,
    cases_boot,
    cases_broker,
    cases_capture,
    cases_commands,
    cases_control,
    cases_install,
    cases_link,
    cases_listening,
    cases_load,
    cases_pairing,
    cases_periodic,
    cases_records,
    cases_scanner,
    cases_service,
    cases_vendor,
)
from tests.system.guest.case import REGISTERED, Case

# The case that examines the freshly booted machine comes first.
_ORDER: tuple[ModuleType, ...] = (
    cases_boot,
    cases_link,
    cases_bluez,
    cases_broker,
    cases_load,
    cases_pairing,
    cases_periodic,
    cases_listening,
    cases_scanner,
    cases_records,
    cases_vendor,
    cases_control,
    cases_commands,
    cases_capture,
    cases_service,
    cases_install,
)

CASES: dict[str, Case] = {
    registered.name: registered
    for module in _ORDER
    for registered in REGISTERED
    if registered.body.__module__ == module.__name__
}

# Nothing can run after it, not even the soak.
LAST = "uninstall"
