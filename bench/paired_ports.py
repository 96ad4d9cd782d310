"""A guest with pairs of ports that are joined: two of a card, or two of QEMU's own NICs.

It has a T6 and a T5, each with its ports wired to each other, and two of each of QEMU's models,
joined by a hub. Every pair has two network namespaces. A card's server is a process of its own, so
that what it uses of the processor is told apart from QEMU's.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs
from vmcoredd.bench import network_tools as tools
from vmcoredd.bench.machine import seconds_of
from vmcoredd.bench.processes import CardServer, served
from vmcoredd.chip import T5, T6
from vmcoredd.qemu.guest import Adapter, Guest
from vmcoredd.qemu.prepare import Options, prepare
from vmcoredd.qemu.root import Root, find_root

KERNEL, MEMORY = "debian:6.12", "2G"
CARDS = {chip.name.upper(): card for chip, card in ((T6, "t62100-cr"), (T5, "t520-cr"))}
MODELS = ("igb", "e1000e", "vmxnet3")
"""Of QEMU's own."""
NEEDED = ("iproute2", "iputils-ping", "iperf3", "kmod")
"""The packages of the commands that are used."""
BOOT, DRIVER, JOIN, RUN = 240.0, 300.0, 120.0, 60.0
"""Seconds that each may take."""
INTERFACES = """
for i in /sys/class/net/eth*; do
    d=$i/device;
    echo $(basename $(realpath $d)) $(cat $i/dev_port) $(basename $(realpath $d/driver)) ${i##*/};
done
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """A command's output, and the processor seconds that QEMU and the card used meanwhile."""

    output: str
    qemu: float
    card: float


@dataclass(frozen=True)
class Pair:
    """Two ports of a guest: where the far one answers, and the card's process if it is no NIC of
    QEMU's."""

    name: str
    address: str
    guest: Guest
    card: int | None = None

    def run(self, command: str) -> Ran:
        """Runs a command in the guest. Raises GuestError."""
        qemu, card = self._used()
        output = self.guest.run(command, RUN).output
        qemu_after, card_after = self._used()
        return Ran(output, qemu_after - qemu, card_after - card)

    def _used(self) -> tuple[float, float]:
        return seconds_of(self.guest.pid), seconds_of(self.card) if self.card else 0.0


@contextlib.contextmanager
def booted(say: Say) -> Iterator[list[Pair]]:
    """Boots the guest, and yields its pairs once `iperf3 -s` answers at their far ends.

    Raises `debs.Unavailable` before the boot if something is missing, and GuestError.
    """

    def progress(what: str, _: float | None) -> None:
        say(what)

    prepared, root = prepare(KERNEL, progress), find_root(progress=progress)
    check(root)
    options = Options(memory=MEMORY, crashkernel="", root=root, nic_pairs=MODELS)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmcoredd-bench-")))
        adapters = [Adapter(*stack.enter_context(served(_server(card)))) for card in CARDS.values()]
        say("booting the guest")
        console = folder / "console.log"
        guest = stack.enter_context(prepared.guest(options, folder, console, adapters))
        guest.wait_for_kernel("first", BOOT)
        say("loading the drivers")
        guest.run(f"load-driver --plain && modprobe -a {' '.join(MODELS)}", DRIVER)
        processes = dict(zip(CARDS, (adapter.pid for adapter in adapters), strict=True))
        yield _joined(guest, processes, say)


def check(root: Root) -> None:
    """Raises `debs.Unavailable` if a guest with this root lacks a command."""
    if missing := [package for package in NEEDED if package in root.missing]:
        raise debs.Unavailable(", ".join(missing), root.reason, "Install them on this machine")


def ports(listed: str) -> dict[str, tuple[str, str]]:
    """Returns the two interfaces of each pair, by the name of the card or model.

    `listed` has a line for each interface: PCI address, port, driver, name.
    """
    found: dict[str, list[str]] = {}
    for line in sorted(listed.splitlines()):
        address, _, driver, name = line.split()
        found.setdefault(driver if driver in MODELS else address, []).append(name)
    cards = [names for key, names in found.items() if key not in MODELS]
    named = dict(zip(CARDS, cards, strict=True)) | {model: found[model] for model in MODELS}
    return {name: (near, far) for name, (near, far) in named.items()}


def _server(card: str) -> CardServer:
    return CardServer(card, scene="fresh", wires=["0=1"])


def _joined(guest: Guest, cards: Mapping[str, int | None], say: Say) -> list[Pair]:
    pairs = []
    listed = guest.run(" ".join(INTERFACES.split()), JOIN).output
    for number, (name, (near, far)) in enumerate(ports(listed).items(), 1):
        say(f"joining the ports of {name}")
        address = f"10.9.{number}.2"  # see `join-wires`
        commands: Sequence[str] = (
            f"join-wires {near}={far}",
            f"nsenter -t $(cat /run/space.{far}) -n iperf3 -s -D",
            tools.echoes(address, 3, 0.01),  # so that the neighbours know each other
        )
        for command in commands:
            guest.run(command, JOIN)
        pairs.append(Pair(name, address, guest, cards.get(name)))
    return pairs
