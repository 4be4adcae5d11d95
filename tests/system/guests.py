"""The distributions that healthd is tested on, and what is installed on them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

# Without recommended packages. linux-image-cloud-amd64 would be smaller, but it has no Bluetooth.
# make and python3-venv are what `make install` needs on any machine.
PACKAGES = (
    "bluez",
    "dbus",
    "iproute2",
    "kmod",
    "linux-image-amd64",
    "make",
    "mosquitto",
    "mosquitto-clients",
    "procps",
    "python3",
    "python3-venv",
    "systemd-sysv",
    "udev",
)

# A machine with only a disk, a serial line and Bluetooth does not need these files; without them
# the image is packed in half the time. The crypto modules stay, because pairing needs several.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    *(
        f"*/modules/*/kernel/{folder}/*"
        for folder in (
            *(
                f"drivers/{kind}"
                for kind in (
                    "gpu",
                    "hid",
                    "hwmon",
                    "iio",
                    "infiniband",
                    "input",
                    "md",
                    "media",
                    "mtd",
                    "net",
                    "nvme",
                    "platform",
                    "scsi",
                    "staging",
                    "target",
                    "usb",
                )
            ),
            *(f"fs/{kind}" for kind in ("btrfs", "ceph", "gfs2", "nfs", "ocfs2", "smb", "xfs")),
            "net/netfilter",
            "net/sched",
            "sound",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Guest:
    """One distribution.

    Attributes:
        name: its name in the tests.
        suite: its name in Debian.
        python: version of its Python, which decides which wheels fit.
        glibc: newest manylinux level that it supports, for the same reason.
    """

    name: str
    suite: str
    python: str
    glibc: int

    @property
    def recipe(self) -> str:
        """A hash that changes whenever the root file system would differ."""
        # It covers the code that builds the image as well as its content.
        makers = [Path(__file__).with_name(name).read_text() for name in ("image.py", "initrd.py")]
        text = repr((self, PACKAGES, LEFT_OUT, makers))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


GUESTS = (
    Guest("debian13", "trixie", "3.13.5", 41),
    Guest("debian12", "bookworm", "3.11.2", 36),
)
