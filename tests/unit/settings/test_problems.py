"""Errors in the settings: what their messages say."""

import errno

from healthd.settings.problems import unavailable


def test_a_file_that_healthd_may_not_read() -> None:
    error = unavailable("mqtt.key_file", "/etc/key", PermissionError(errno.EACCES, "Not allowed"))
    assert str(error).startswith("mqtt.key_file: /etc/key: Not allowed; ")
    assert str(error).endswith("sudo chown root:healthd /etc/key; sudo chmod 640 /etc/key")


def test_an_error_without_a_text_of_the_system() -> None:
    assert str(unavailable("mqtt.ca_file", "/x", OSError("odd"))) == "mqtt.ca_file: /x: odd"
