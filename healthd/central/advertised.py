"""Service data and manufacturer data of an advertisement, by the keys of ``Broadcast``."""

from collections.abc import Iterable, Mapping

from healthd.profiles.uuids import full_uuid

_SERVICE = "service_data_"
_COMPANY = "manufacturer_data_"


class AdvertisedData:
    """Picks what healthd reads out of an advertisement, and leaves the rest.

    Attributes:
        keys: the keys of all data that is picked.
        services: the 36-character UUIDs of that service data, in lower case.
        companies: the company ids of that manufacturer data.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """``keys`` as in ``Broadcast.keys``."""
        self.keys = frozenset(keys)
        self.services = {
            full_uuid(key.removeprefix(_SERVICE)): key
            for key in self.keys
            if key.startswith(_SERVICE)
        }
        self.companies = {
            int(key.removeprefix(_COMPANY), 16): key
            for key in self.keys
            if key.startswith(_COMPANY)
        }

    def pick(
        self, service_data: Mapping[str, bytes], manufacturer_data: Mapping[int, bytes]
    ) -> dict[str, bytes]:
        """Return the data that healthd reads, by key; the bytes without UUID or company id.

        Args:
            service_data: by 36-character UUID in lower case, as bleak and BlueZ have it.
            manufacturer_data: by company id.
        """
        found = {
            self.services[uuid]: bytes(value)
            for uuid, value in service_data.items()
            if uuid in self.services
        }
        for company, value in manufacturer_data.items():
            if company in self.companies:
                found[self.companies[company]] = bytes(value)
        return found
