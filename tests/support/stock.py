"""A guest with a kernel of Debian's as it is, its driver loaded, and cards that are wired."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmcoredd import debs, emu
from vmcoredd.emu import wires
from vmcoredd.qemu.guest import Guest
from vmcoredd.qemu.prepare import Options, prepare, serve_cards
from vmcoredd.qemu.root import find_root

BOOT, DRIVER = 240.0, 300.0
INTERFACES = """
for i in /sys/class/net/eth*; do
    echo ${i##*/} $(basename $(realpath $i/device)) $(cat $i/dev_port);
done
"""


@dataclass(frozen=True)
class Setup:
    """What to boot: cards by name (as `--card a=t62100-cr`), and wires (as `--wire a.0=a.1`)."""

    cards: Mapping[str, str] = field(default_factory=lambda: {"a": "t62100-cr"})
    wires: Sequence[str] = ("a.0=a.1",)
    kernel: str = os.environ.get("VMCOREDD_STOCK_KERNEL", "debian:6.12")
    memory: str = "2G"


@dataclass(frozen=True)
class Stock:
    """A guest that runs, its cards, and its interfaces: the name of port 1 of card b is `b.1`."""

    guest: Guest
    cards: Mapping[str, emu.Card]
    interfaces: Mapping[str, str]

    def run(self, script: str, seconds: float = 60.0) -> str:
        """Runs a script of several lines; returns its output. Raises CommandFailed."""
        (self.guest.share / "script").write_text(f"set -e\n{script}\n")
        return self.guest.run("sh /share/script", seconds).output


@contextlib.contextmanager
def booted(setup: Setup, folder: Path, progress: debs.Progress) -> Iterator[Stock]:
    """Boots a guest as `setup` says, with the driver loaded and the interfaces down."""
    prepared = prepare(setup.kernel, progress)
    root = find_root(progress=progress)
    cards = {
        name: emu.Card.load(card, seed, scene="fresh")
        for seed, (name, card) in enumerate(setup.cards.items())
    }
    wires.plug(setup.wires, cards)
    options = Options(kernel=setup.kernel, memory=setup.memory, crashkernel="", root=root)
    (folder / "guest").mkdir()
    with (
        serve_cards(list(cards.values()), folder) as adapters,
        prepared.guest(options, folder / "guest", folder / "console", adapters) as guest,
    ):
        guest.wait_for_kernel("first", BOOT)
        guest.run("load-driver --plain", DRIVER)
        yield Stock(guest, cards, _interfaces(guest, list(cards)))


def _interfaces(guest: Guest, names: Sequence[str]) -> dict[str, str]:
    """Returns the interfaces by card and port; the cards are in the order of their addresses."""
    listed = guest.run(" ".join(INTERFACES.split()), BOOT).output
    rows = [line.split() for line in listed.splitlines()]
    addresses = sorted({address for _, address, _ in rows})
    by_address = dict(zip(addresses, names, strict=True))
    return {f"{by_address[address]}.{port}": name for name, address, port in rows}
