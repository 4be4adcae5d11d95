"""What is wanted of advertisements at the moment."""

from collections.abc import Iterable, Mapping

from healthd.central.advertised import AdvertisedData
from healthd.central.match import By, Match, Seen


class Interest:
    """What searches and listeners want of advertisements; the scanner may leave out the rest.

    Attributes:
        data: the advertised data that is wanted.
        version: another number after each change.
        is_urgent: whether signals must be read as soon as they arrive: those of links are dated by
            their arrival.
        is_tapped: whether there is a capture, which keeps whole advertisements.
    """

    def __init__(self, keys: Iterable[str] = (), *, everyone: bool = True) -> None:
        """Prepare.

        Args:
            keys: of the advertised data that is wanted; see ``Broadcast.keys``.
            everyone: whether all devices are wanted, whatever they advertise.
        """
        self.data = AdvertisedData(keys)
        self.version = 0
        self.is_urgent = self.is_tapped = False
        self._matches: tuple[Match, ...] = ()
        self._everyone = everyone
        self._searched: tuple[Match, ...] = ()
        self._steady = self._resting = frozenset[str]()

    def update(
        self,
        listened: Iterable[Match],
        searched: Iterable[Match] = (),
        keys: Iterable[str] = (),
        *,
        everyone: bool = False,
    ) -> None:
        """Change what is wanted.

        Args:
            listened: the peripherals that are listened to.
            searched: the peripherals that are searched for, to be linked.
            keys: of more advertised data.
            everyone: whether all devices are wanted, whatever they advertise.
        """
        self._searched = tuple(searched)
        matches = (*listened, *self._searched)
        broadcasts = [broadcast for match in matches for broadcast in match.broadcasts]
        wanted = frozenset(keys).union(*(broadcast.keys for broadcast in broadcasts))
        if (matches, everyone, wanted) == (self._matches, self._everyone, self.data.keys):
            return
        self._matches, self._everyone = matches, everyone
        self.data = AdvertisedData(wanted)
        resting = (broadcast.keys for broadcast in broadcasts if broadcast.silence_s is None)
        self._resting = frozenset[str]().union(*resting)
        self._steady = wanted - self._resting
        self.version += 1

    @property
    def only(self) -> str | None:
        """The address of the only device that is wanted; None if there may be others."""
        match self._matches:
            case (Match(by=By.ADDRESS, wanted=address),) if self._is_listening_only:
                return address
            case _:
                return None

    def is_steady(self, data: Mapping[str, bytes]) -> bool:
        """Whether a device with this data advertises all the time, and not only while it is used.

        A scale rests between two weighings.
        """
        keys = data.keys()
        return not keys.isdisjoint(self._steady) and keys.isdisjoint(self._resting)

    @property
    def companies(self) -> frozenset[int] | None:
        """The company ids by which all that is wanted can be recognised; None if they are too few.

        Devices to be linked are recognised by their names and services, too.
        """
        is_enough = self._is_listening_only and not self.data.services
        return frozenset(self.data.companies) if is_enough else None

    @property
    def _is_listening_only(self) -> bool:
        return not self._everyone and not self._searched

    def wants(self, found: Seen) -> bool:
        """Whether a device, as far as it is known, is wanted."""
        return self._everyone or any(match.fits(found) for match in self._matches)
