"""The key of a peripheral's device, read again for each link."""

from collections.abc import Callable, Iterable

from healthd.host.in_thread import run_in_thread
from healthd.profiles.profile import Profile
from healthd.sessions.faults import BadKey

# A file of one line; but a failing disk may hang, and other peripherals must not wait for it.
_READ_S = 10.0


class DeviceKey:
    """The key of one peripheral.

    Attributes:
        value: what was read for the present link; None if there is no key, or none is needed.
    """

    def __init__(self, peripheral: str, read: Callable[[], bytes | None]) -> None:
        """Prepare.

        Args:
            peripheral: its id.
            read: see ``Options.read_key``.
        """
        self.value: bytes | None = None
        self._peripheral = peripheral
        self._read = read

    async def load(self, profiles: Iterable[Profile]) -> None:
        """Read the key, if a device with these profiles has one.

        Raises:
            LinkFault: it cannot be read, or is not a key of this kind of device.
        """
        self.value = None
        pairings = [profile.pairing for profile in profiles if profile.pairing is not None]
        if not pairings:
            return
        try:
            self.value = await run_in_thread(self._read, _READ_S)
        except TimeoutError as error:
            text = f"the key file could not be read within {_READ_S:.0f} s"
            raise BadKey(self._peripheral, text) from error
        except OSError as error:
            text = f"{error.filename}: {error.strerror}; healthd must be allowed to read it"
            raise BadKey(self._peripheral, text) from error
        except ValueError as error:
            raise BadKey(self._peripheral, str(error)) from error
        sizes = {pairing.size_bytes for pairing in pairings}
        if self.value is not None and len(self.value) not in sizes:
            text = f"the key file has {len(self.value)} bytes, expected {min(sizes)}"
            self.value = None
            raise BadKey(self._peripheral, text)
