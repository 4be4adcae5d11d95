"""What is wanted of advertisements at the moment."""

from collections.abc import Iterable

from healthd.central.advertised import AdvertisedData
from healthd.central.match import Match


class Interest:
    """What searches and listeners want of advertisements; the scanner leaves out the rest.

    Attributes:
        data: the advertised data that is wanted.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """``keys`` of the advertised data that is wanted; see ``Broadcast.keys``."""
        self.data = AdvertisedData(keys)

    def update(self, matches: Iterable[Match], keys: Iterable[str] = ()) -> None:
        """Change what is wanted.

        Args:
            matches: the peripherals that are searched for or listened to.
            keys: of more advertised data.
        """
        broadcasts = (broadcast for match in matches for broadcast in match.broadcasts)
        wanted = frozenset(keys).union(*(broadcast.keys for broadcast in broadcasts))
        if wanted != self.data.keys:
            self.data = AdvertisedData(wanted)
