"""The adapter: there, on, not blocked, with slots for the peripherals, and undisturbed by Wi-Fi."""

from collections.abc import Iterator

from healthd.doctor.bluetooth import Radio
from healthd.doctor.finding import Finding, depend, ok, skipped, warning, wrong
from healthd.doctor.machine import Machine
from healthd.settings.model import Settings

# A Pi's own Broadcom controller carries seven links; BlueZ tells no number.
_PI_SLOTS = 7

_WIFI = (
    "where links drop: use Ethernet or 5 GHz, or a USB dongle on a short extension cable "
    "([bluetooth] adapter)"
)


def check_adapter(
    machine: Machine, radio: Radio | None, settings: Settings | None
) -> list[Finding]:
    """Everything about the adapter that healthd would use.

    Args:
        machine: whose.
        radio: what BlueZ told; None where it did not.
        settings: None where they are bad; any adapter and no peripherals then.
    """
    blocked = _rfkill(machine)
    found = [*_adapters(radio, settings, is_blocked=blocked.fix != ""), blocked]
    names = () if radio is None else tuple(radio.adapters)
    return [*found, _slots(machine, radio, settings), _coexistence(machine, names)]


def _adapters(
    radio: Radio | None, settings: Settings | None, *, is_blocked: bool
) -> Iterator[Finding]:
    if radio is None:
        yield from depend(("adapter", "powered"), "bluez")
        return
    wanted = None if settings is None else settings.bluetooth.adapter
    there = ", ".join(sorted(radio.adapters)) or "none"
    usable = {name: one for name, one in radio.adapters.items() if wanted in (None, name)}
    if not usable:
        if radio.adapters:
            fix = f"set [bluetooth] adapter to one of these, or leave it out: {there}"
        else:
            fix = (
                "plug one in; a Pi's own needs no dtoverlay=disable-bt in /boot/firmware/config.txt"
            )
        yield wrong("adapter", f"no {wanted or 'adapter'}, there is: {there}", fix)
        yield from depend(("powered",), "adapter")
        return
    yield ok("adapter", ", ".join(sorted(usable)))
    on = sorted(name for name, one in usable.items() if one["Powered"])
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
            fix = "use the switch or key of the machine that blocks radios"
            return wrong("rfkill", f"{name} is blocked by a switch", fix)
        if machine.text(f"{place}/soft") == "1":
            fix = "unblock it: sudo rfkill unblock bluetooth"
            return wrong("rfkill", f"{name} is blocked", fix)
    return ok("rfkill", "nothing is blocked")


def _slots(machine: Machine, radio: Radio | None, settings: Settings | None) -> Finding:
    if radio is None or settings is None:
        failed = "settings" if settings is None else "bluez"
        return skipped("slots", f"needs {failed}")
    slots = settings.bluetooth.slots
    lasting = sum(not one.periodic for one in settings.peripherals)
    linked = sum(device.connected for device in radio.devices)
    found = f"{lasting} peripherals linked for good, {slots} slots, {linked} links now"
    if lasting > slots:
        fix = "the others wait in line: fetch some of them periodically (every), or add a gateway"
        return warning("slots", found, fix)
    if _is_pi(machine) and slots > _PI_SLOTS and set(radio.adapters) == {"hci0"}:
        return warning("slots", found, f"a Pi's own adapter carries {_PI_SLOTS}: set slots to that")
    return ok("slots", found)


def _coexistence(machine: Machine, adapters: tuple[str, ...]) -> Finding:
    if not _is_pi(machine):
        return ok("coexistence", "no Raspberry Pi, whose Wi-Fi shares Bluetooth's antenna")
    wireless = [
        one.name
        for one in sorted(machine.path("sys/class/net").glob("*"))
        if (one / "wireless").exists()
        and machine.text(f"sys/class/net/{one.name}/operstate") == "up"
    ]
    # A Pi's own adapter hangs on a serial line, a dongle on USB.
    own = [
        one
        for one in adapters
        if not machine.path(f"sys/class/bluetooth/{one}/device/bInterfaceNumber").exists()
    ]
    if wireless and own:
        return warning("coexistence", f"{', '.join(wireless)} is up and shares its antenna", _WIFI)
    return ok("coexistence", "Wi-Fi is down, or Bluetooth has an adapter of its own")


def _is_pi(machine: Machine) -> bool:
    return (machine.text("proc/device-tree/model") or "").startswith("Raspberry Pi")
