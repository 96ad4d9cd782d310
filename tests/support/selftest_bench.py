"""Runs the kernel's selftests in a guest, from one end of a wire; the other is their remote end."""

from __future__ import annotations

import shlex
import shutil
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
CHROOT = f"PATH=/usr/sbin:/usr/bin HOME=/ chroot {ROOT}"
ENDS = ("LOCAL", "REMOTE")


@dataclass(frozen=True)
class Bench:
    """A guest in which the selftests are unpacked, in a root folder of their own."""

    stock: Stock
    kernel: tuple[int, ...]

    @classmethod
    def unpacked(cls, stock: Stock, archive: Path) -> Bench:
        """Unpacks `archive` (selftests.archive) into the guest's memory."""
        share = stock.guest.share
        shutil.copyfile(archive, share / archive.name)
        shutil.copyfile(PROGRAMS, share / PROGRAMS.name)
        stock.run(UNPACK, 120.0)
        (share / archive.name).unlink()
        return cls(stock, _version(stock.run("uname -r")))

    def remove(self) -> None:
        """Gives the guest its memory back."""
        self.stock.run(REMOVE)

    def run(self, card: str, command: str, seconds: float) -> str:
        """Runs a command in the folder of the selftests; returns all that it prints.

        The interface under test is port 0 of the card. What takes longer than `seconds` is ended.
        """
        (wire,) = [wire for wire in self.stock.wires if wire.card == card]
        inner = f"cd {TESTS} && {{ {command}; }} 2>&1"
        script = [
            f"[ -e /run/netns/{wire.far} ] || "
            f"{CHROOT} ip netns attach {wire.far} $(cat /run/space.{wire.far})",
            f"export {' '.join(_settings(wire))}",
            f"{CHROOT} timeout {seconds} bash -c {shlex.quote(inner)} || true",
        ]
        return self.stock.run("\n".join(script), seconds + 30.0)


def _settings(wire: Wire) -> list[str]:
    """Returns what the tests find in their environment; KEY is for toeplitz."""
    device = f"$(basename $(realpath /sys/class/net/{wire.near}/device))"
    return [
        f"NETIF={wire.near}",
        *(f"{end}_V4=10.9.{wire.number}.{host}" for host, end in enumerate(ENDS, 1)),
        *(f"{end}_V6=fd09:{wire.number}::{host}" for host, end in enumerate(ENDS, 1)),
        f"REMOTE_TYPE=netns REMOTE_ARGS={wire.far}",
        f"KEY=$(sed 's/../&:/g; s/:$//' /sys/kernel/debug/cxgb4/{device}/rss_key)",
    ]


def _version(release: str) -> tuple[int, ...]:
    """Returns the first two numbers of a release such as 6.12.117+deb13-amd64."""
    return tuple(map(int, release.split(".")[:2]))
