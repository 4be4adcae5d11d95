"""The initial RAM disk: mounts an empty disk over the image, then starts systemd."""

import lzma
import subprocess
import tarfile
import tempfile
from pathlib import Path

# For the root file system and the disk that is mounted over it. A module may be built in.
_MODULES = ("virtio_pci", "virtio_blk", "squashfs", "ext4", "overlay")
_BUSYBOX = Path("/bin/busybox")

PROBE = "healthd.probe"
"""On the kernel's command line: report that the machine runs, and switch it off."""
PROBE_ANSWER = "the machine runs"

_INIT = f"""#!/bin/sh
busybox mkdir -p /proc /sys /dev /image /disk /root
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
if busybox grep -q {PROBE} /proc/cmdline; then
    busybox echo "{PROBE_ANSWER}" >/dev/ttyS1
    busybox poweroff -f
fi
for module in $(busybox cat /modules/order); do busybox insmod /modules/$module; done
busybox mount -t squashfs -o ro /dev/vda /image || busybox poweroff -f
busybox mount -t ext4 /dev/vdb /disk || busybox poweroff -f
busybox mkdir -p /disk/changes /disk/work
busybox mount -t overlay -o lowerdir=/image,upperdir=/disk/changes,workdir=/disk/work root /root
busybox mkdir -p /root/payload
busybox mount -t squashfs -o ro /dev/vdc /root/payload
# The same at each boot: with an empty one systemd assumes the first boot.
busybox echo 6865616c746864206865616c74686421 >/root/etc/machine-id
busybox echo gateway >/root/etc/hostname
# As by Debian's installer; without it localhost does not resolve on Debian 12.
busybox printf '127.0.0.1\\tlocalhost gateway\\n::1\\tlocalhost\\n' >/root/etc/hosts
units=/root/etc/systemd/system
busybox mkdir -p $units/multi-user.target.wants
busybox cp /root/payload/system-test.service $units/
busybox ln -sf ../system-test.service $units/multi-user.target.wants/
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
    busybox ln -sf /dev/null $units/$timer.timer
done
busybox mount --move /dev /root/dev
busybox umount /proc
exec busybox switch_root /root /sbin/init
"""


def pack_initrd(root: tarfile.TarFile, target: Path) -> None:
    """Make the RAM disk from the modules of a root file system.

    Args:
        root: the root file system.
        target: the file to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in ("bin", "modules"):
            (tree / name).mkdir()
        (tree / "init").write_text(_INIT)
        (tree / "init").chmod(0o755)
        (tree / "bin/busybox").write_bytes(_BUSYBOX.read_bytes())
        (tree / "bin/busybox").chmod(0o755)
        (tree / "bin/sh").symlink_to("busybox")
        _copy_modules(root, tree / "modules")
        files = subprocess.run(["find", "."], cwd=tree, check=True, stdout=subprocess.PIPE)
        packed = subprocess.run(
            ["cpio", "--quiet", "--create", "--format=newc"],
            cwd=tree,
            input=files.stdout,
            check=True,
            stdout=subprocess.PIPE,
        )
        target.write_bytes(packed.stdout)


def _copy_modules(root: tarfile.TarFile, folder: Path) -> None:
    """Copy the modules and their dependencies, and write their order to the file `order`."""
    members = {member.name: member for member in root.getmembers()}
    listing = next(name for name in members if name.endswith("/modules.dep"))
    needs: dict[str, tuple[str, list[str]]] = {}
    for line in _read(root, listing).decode().splitlines():
        path, _, needed = line.partition(":")
        needs[_module(path)] = (path, [_module(other) for other in needed.split()])
    order: list[str] = []

    def add(module: str) -> None:
        if module in order or module not in needs:
            return
        path, needed = needs[module]
        for other in needed:
            add(other)
        data = _read(root, f"{Path(listing).parent}/{path}")
        plain = lzma.decompress(data) if path.endswith(".xz") else data
        (folder / module).write_bytes(plain)
        order.append(module)

    for module in _MODULES:
        add(module)
    # ext4 loads crc32c by name when it mounts, so it is not listed as a dependency.
    for module in ("crc32c_generic", "crc32c-intel"):
        add(module)
    order.sort(key=lambda module: not module.startswith("crc32c"))
    (folder / "order").write_text("\n".join(order))


def _module(path: str) -> str:
    return Path(path).name.partition(".")[0]


def _read(root: tarfile.TarFile, name: str) -> bytes:
    file = root.extractfile(name if name.startswith("./") else f"./{name}")
    assert file is not None, name
    return file.read()
