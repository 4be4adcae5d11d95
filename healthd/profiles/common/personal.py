"""Results of devices that several people may use."""

from healthd.people.person import Reason
from healthd.samples import DeviceTimed


class PersonalResult(DeviceTimed):
    """A result of one person; decoders leave both keys unset, healthd adds them to the result."""

    person: str | None = None
    """Id of the person in ``[[people]]``; ``null`` if that is not certain.

    Absent if there are no people in the settings, or nothing in the result shows whose it is.
    """
    unattributed: Reason = "no_match"
    """Why ``person`` is ``null``; absent if it is not."""
