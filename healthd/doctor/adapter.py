"""Check the adapter: present, on, not blocked, with enough slots, not disturbed by Wi-Fi."""

from collections.abc import Iterator

from healthd.doctor.bluetooth import Radio
from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import Machine
from healthd.gateway.entry import Way, way_of
from healthd.profiles.registry import Registry
from healthd.settings.model import Settings

# A Pi's Broadcom controller supports seven links; BlueZ does not report the number.
_PI_SLOTS = 7

_WIFI = (
    "if links drop: use Ethernet or 5 GHz Wi-Fi, or a USB dongle on a short extension cable "
    "([bluetooth] adapter)"
)


def check_adapter(
    machine: Machine, radio: Radio | None, settings: Settings | None, registry: Registry
) -> list[Finding]:
    """Check the adapter that healthd would use.

    Args:
        machine: the machine to check.
        radio: the answer of BlueZ; None if there was none.
        settings: None if they are invalid: then any adapter, and no peripherals.
        registry: the known profiles.
    """
    blocked = _rfkill(machine)
    found = [*_adapters(radio, settings, is_blocked=blocked.fix != ""), blocked]
    names = () if radio is None else tuple(radio.adapters)
    slots = _slots(machine, radio, settings, registry)
    return [*found, slots, _coexistence(machine, names)]


def _adapters(
    radio: Radio | None, settings: Settings | None, *, is_blocked: bool
) -> Iterator[Finding]:
    if radio is None:
        yield from depend(("adapter", "powered"), "bluez")
        return
    wanted = None if settings is None else settings.bluetooth.adapter
    names = ", ".join(sorted(radio.adapters)) or "none"
    usable = {
        name: properties for name, properties in radio.adapters.items() if wanted in (None, name)
    }
    if not usable:
        if radio.adapters:
            fix = f"set [bluetooth] adapter to one of these, or remove the line: {names}"
        else:
            fix = (
                "plug one in; for a Pi's own adapter, remove dtoverlay=disable-bt from "
                "/boot/firmware/config.txt"
            )
        yield wrong("adapter", f"found {names}, expected {wanted or 'an adapter'}", fix)
        yield from depend(("powered",), "adapter")
        return
    yield ok("adapter", ", ".join(sorted(usable)))
    on = sorted(name for name, properties in usable.items() if properties["Powered"])
    if on:
        yield ok("powered", f"{', '.join(on)} is on")
    elif is_blocked:
        yield from depend(("powered",), "rfkill")
    else:
        yield wrong(
            "powered", f"{', '.join(sorted(usable))} is off", "switch it on: bluetoothctl power on"
        )


def _rfkill(machine: Machine) -> Finding:
    for switch in sorted(machine.path("sys/class/rfkill").glob("rfkill*")):
        place = str(switch.relative_to(machine.root))
        if machine.text(f"{place}/type") != "bluetooth":
            continue
        name = machine.text(f"{place}/name") or switch.name
        if machine.text(f"{place}/hard") == "1":
            fix = "use the switch or key of the machine that turns radios off"
            return wrong("rfkill", f"{name} is blocked by a switch", fix)
        if machine.text(f"{place}/soft") == "1":
            fix = "unblock it: sudo rfkill unblock bluetooth"
            return wrong("rfkill", f"{name} is blocked", fix)
    return ok("rfkill", "nothing is blocked")


def _slots(
    machine: Machine, radio: Radio | None, settings: Settings | None, registry: Registry
) -> Finding:
    if radio is None or settings is None:
        failed = "settings" if settings is None else "bluez"
        return skipped("slots", f"needs {failed}")
    slots = settings.bluetooth.slots
    lasting = sum(
        not entry.periodic and way_of(entry, registry) is not Way.LISTEN
        for entry in settings.peripherals
    )
    linked = sum(device.connected for device in radio.devices)
    found = f"{lasting} continuous peripherals, {slots} slots, {linked} links now"
    if lasting > slots:
        fix = "some peripherals have to wait: fetch some periodically (every), or add a gateway"
        return warning("slots", found, fix)
    if _is_pi(machine) and slots > _PI_SLOTS and set(radio.adapters) == {"hci0"}:
        return warning(
            "slots",
            found,
            f"a Pi's own adapter supports {_PI_SLOTS} links: set slots to {_PI_SLOTS}",
        )
    return ok("slots", found)


def _coexistence(machine: Machine, adapters: tuple[str, ...]) -> Finding:
    if not _is_pi(machine):
        return ok("coexistence", "not a Raspberry Pi, where Wi-Fi and Bluetooth share an antenna")
    wireless = [
        interface.name
        for interface in sorted(machine.path("sys/class/net").glob("*"))
        if (interface / "wireless").exists()
        and machine.text(f"sys/class/net/{interface.name}/operstate") == "up"
    ]
    # A Pi's own adapter is connected by a serial line, a dongle by USB.
    built_in = [
        name
        for name in adapters
        if not machine.path(f"sys/class/bluetooth/{name}/device/bInterfaceNumber").exists()
    ]
    if wireless and built_in:
        found = f"{', '.join(wireless)} is up and shares the antenna with Bluetooth"
        return warning("coexistence", found, _WIFI)
    return ok("coexistence", "Wi-Fi is down, or Bluetooth has a separate adapter")


def _is_pi(machine: Machine) -> bool:
    return (machine.text("proc/device-tree/model") or "").startswith("Raspberry Pi")
