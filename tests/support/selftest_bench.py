"""Runs the kernel's selftests in a guest, from one end of a wire; the other is their remote end."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from stock import Stock, Wire

PROGRAMS = Path(__file__).with_name("selftest_programs.sh")
ROOT = "/tmp/selftests"
TESTS = "/selftests/tools/testing/selftests"
UNPACK = f"""
mkdir -p {ROOT}
mount -t tmpfs -o size=600m tmpfs {ROOT}
tar -xf /share/selftests.tar -C {ROOT}
for folder in proc sys dev; do
    mkdir -p {ROOT}/$folder
    mount --rbind /$folder {ROOT}/$folder
done
mount --bind /run {ROOT}/run
mkdir -p {ROOT}/usr/lib/modules {ROOT}/tmp
mount --bind /lib/modules {ROOT}/usr/lib/modules
cp /share/selftest_programs.sh {ROOT}/selftests
"""
REMOVE = f"""
for mounted in $(grep -o ' {ROOT}[^ ]*' /proc/mounts | sort -r); do
    umount -l $mounted
done
"""
KEY = "sed 's/../&:/g; s/:$//' /sys/kernel/debug/cxgb4/{address}/rss_key"


@dataclass(frozen=True)
class Bench:
    """A guest in which the selftests are unpacked, in a root folder of their own."""

    stock: Stock

    @classmethod
    def unpacked(cls, stock: Stock, archive: Path) -> Bench:
        """Unpacks `archive` (selftests.archive) into the guest's memory."""
        share = stock.guest.share
        (share / archive.name).symlink_to(archive)
        (share / PROGRAMS.name).write_bytes(PROGRAMS.read_bytes())
        stock.run(UNPACK, 120.0)
        return cls(stock)

    def remove(self) -> None:
        """Gives the guest its memory back."""
        self.stock.run(REMOVE)

    def run(self, wire: Wire, command: str, seconds: float) -> str:
        """Runs a command of the folder of selftests; returns what it prints, whatever its code."""
        settings = " ".join(f"{name}={value}" for name, value in self._settings(wire).items())
        inner = f"cd {TESTS} && {{ {command}; }} 2>&1"
        return self.stock.run(
            f"[ -e /run/netns/{wire.far} ] || "
            f"chroot {ROOT} /usr/bin/ip netns attach {wire.far} $(cat /run/space.{wire.far})\n"
            f"export {settings}\n"
            f"export KEY=$({KEY.format(address=f'$(basename $(realpath /sys/class/net/{wire.near}/device))')})\n"
            f"chroot {ROOT} /usr/bin/timeout {seconds} /usr/bin/sh -c {shlex.quote(inner)} || true",
            seconds + 30.0,
        )

    def _settings(self, wire: Wire) -> dict[str, str]:
        """Returns what the tests find in their environment (README.rst of drivers/net)."""
        return {
            "NETIF": wire.near,
            "LOCAL_V4": f"10.9.{wire.number}.1",
            "LOCAL_V6": f"fd09:{wire.number}::1",
            "REMOTE_V4": f"10.9.{wire.number}.2",
            "REMOTE_V6": f"fd09:{wire.number}::2",
            "REMOTE_TYPE": "netns",
            "REMOTE_ARGS": wire.far,
            "PATH": "/usr/sbin:/usr/bin",
            "HOME": "/",
        }
