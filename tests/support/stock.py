"""Guests with a kernel of Debian's as it is, its driver loaded, and cards that are wired.

Most tests share one, `SHARED`. The files that do are in `IN_TURN`, in the order in which they use
it: `make test` boots it once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmcoredd import debs, emu
from vmcoredd.emu import wires
from vmcoredd.emu.recording import recording
from vmcoredd.qemu.guest import Guest
from vmcoredd.qemu.prepare import Options, prepare, serve_cards
from vmcoredd.qemu.root import find_root

BOOT, DRIVER, JOIN = 240.0, 300.0, 120.0
KERNEL = os.environ.get("VMCOREDD_STOCK_KERNEL", "debian:6.12")
INTERFACES = """
for i in /sys/class/net/eth*; do
    echo ${i##*/} $(basename $(realpath $i/device)) $(cat $i/dev_port);
done
"""
IN_TURN = (
    *("test_guest_stock", "test_guest_load", "test_guest_offloads", "test_guest_rates"),
    *("test_guest_commands", "test_guest_filters"),
    *("test_guest_selftests", "test_guest_interrupts", "test_guest_control"),
    *("test_guest_host_faults", "test_guest_unload"),
)
"""The last one reboots the guest."""


@dataclass(frozen=True)
class Setup:
    """What to boot: cards by name (as `--card a=t62100-cr`), and wires (as `--wire a.0=a.1`)."""

    cards: Mapping[str, str] = field(default_factory=lambda: {"a": "t62100-cr"})
    wires: Sequence[str] = ("a.0=a.1",)
    kernel: str = KERNEL
    memory: str = "2G"
    kernel_arguments: str = ""
    map_window: bool = False
    trace: bool = False
    """Whether what happens to the cards is recorded, until `Stock.end_traces()`."""


SHARED = Setup(
    cards={"a": "t62100-cr", "b": "t520-cr"},
    wires=("a.0=a.1", "b.0=b.1"),
    # the first lets a process ring doorbells beside the driver; with the others a process starts in
    # three quarters of the time, where there is no KVM
    kernel_arguments="iomem=relaxed mitigations=off init_on_alloc=0",
    trace=True,
)

FEW = (*SHARED.cards,) if os.environ.get("VMCOREDD_THOROUGH") == "1" else ("a",)
"""The cards of what is the same on both: in `make test` the T6."""


@dataclass(frozen=True)
class Wire:
    """A wire from port 0 to port 1 of a card: the interfaces at its ends, and its number."""

    card: str
    near: str
    far: str
    number: int

    @property
    def space(self) -> str:
        """The command that enters the far end's network namespace."""
        return f"nsenter -t $(cat /run/space.{self.far}) -n"

    @property
    def ends(self) -> dict[str, str]:
        """What to type before a command about each interface."""
        return {self.near: "", self.far: self.space}


@dataclass(frozen=True)
class Stock:
    """A guest that runs, its cards, and its interfaces: the name of port 1 of card b is `b.1`."""

    guest: Guest
    cards: Mapping[str, emu.Card]
    interfaces: Mapping[str, str]
    sockets: Mapping[str, Path]
    """The cards' own, by name."""
    end_traces: Callable[[], None]
    traces: Mapping[str, Path]
    """By card, if there are any; complete once they have ended."""

    def run(self, script: str, seconds: float = 60.0) -> str:
        """Runs a script of several lines; returns its output. Raises CommandFailed."""
        (self.guest.share / "script").write_text(f"set -e\n{script}\n")
        return self.guest.run("sh /share/script", seconds).output

    @property
    def wires(self) -> list[Wire]:
        """The wire of each card, where a wire joins its ports 0 and 1."""
        return [
            Wire(card, self.interfaces[f"{card}.0"], self.interfaces[f"{card}.1"], number)
            for number, card in enumerate(self.cards, 1)
        ]

    def join(self) -> str:
        """Gives the interfaces at the ends of each wire addresses; returns what was said."""
        self.end_traces()  # before there is traffic
        commands = [f"join-wires {wire.near}={wire.far}" for wire in self.wires]
        return "".join(self.guest.run(command, JOIN).output for command in commands)

    def ping(self) -> None:
        """Sends requests over each wire. Raises CommandFailed if one has no answer."""
        for wire in self.wires:
            self.run(pings(f"10.9.{wire.number}.2", 10))


def pings(address: str, count: int = 20, options: str = "-i 0.01") -> str:
    """Returns a command that fails unless the first `count` requests are all answered in a minute.

    With a deadline ping(8) sends on until it has so many answers, and counts those on their way as
    lost.
    """
    return (
        f"ping -c {count} -w 60 {options} {address} | tee /dev/stderr | grep 'bytes from' "
        "| grep -o 'icmp_seq=[0-9]*' | sort -u -t = -k 2 -n "
        f"| head -n {count} | tail -n 1 | grep -qx icmp_seq={count}"
    )


@contextlib.contextmanager
def booted(setup: Setup, folder: Path, progress: debs.Progress) -> Iterator[Stock]:
    """Boots a guest as `setup` says, with the driver loaded and the interfaces down."""
    prepared = prepare(setup.kernel, progress)
    root = find_root(progress=progress)
    cards = {
        name: emu.Card.load(card, seed, scene="fresh", map_window=setup.map_window)
        for seed, (name, card) in enumerate(setup.cards.items())
    }
    wires.plug(setup.wires, cards)
    options = Options(
        kernel=setup.kernel,
        memory=setup.memory,
        crashkernel="",
        kernel_arguments=setup.kernel_arguments,
        root=root,
    )
    (folder / "guest").mkdir()
    traces = {name: folder / f"{name}.npz" for name in cards if setup.trace}
    with (
        _recorded(cards, traces) as recordings,
        serve_cards(list(cards.values()), folder) as adapters,
        prepared.guest(options, folder / "guest", folder / "console", adapters) as guest,
    ):
        guest.wait_for_kernel("first", BOOT)
        guest.run("load-driver --plain", DRIVER)
        sockets = {name: one.socket for name, one in zip(cards, adapters, strict=True)}
        yield Stock(
            guest, cards, _interfaces(guest, list(cards)), sockets, recordings.close, traces
        )


@contextlib.contextmanager
def _recorded(
    cards: Mapping[str, emu.Card], traces: Mapping[str, Path]
) -> Iterator[contextlib.ExitStack]:
    """Records cards until what it yields is closed, or the context is left."""
    with contextlib.ExitStack() as stack:
        for name, path in traces.items():
            stack.enter_context(recording(cards[name], path))
        yield stack


def _interfaces(guest: Guest, names: Sequence[str]) -> dict[str, str]:
    """Returns the interfaces by card and port; the cards are in the order of their addresses."""
    listed = guest.run(" ".join(INTERFACES.split()), BOOT).output
    rows = [line.split() for line in listed.splitlines()]
    addresses = sorted({address for _, address, _ in rows})
    by_address = dict(zip(addresses, names, strict=True))
    return {f"{by_address[address]}.{port}": name for name, address, port in rows}
