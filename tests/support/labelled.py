"""Labelled dumps: what the card's dump holds when we know what is wrong with the card.

    for one in labelled_dumps():
        one.faults, one.card, one.seed, one.dump    # names, profile, seed, cudbg.Dump

Every fault of the emulator that leaves a dump is there alone, on a card that can have it, and in at
least one pair. The order is always the same, and so is every byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain, islice
from random import Random
from typing import NamedTuple

from carddump import SMALL, CardDump, collect

from vmcoredd import cudbg, emu
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.silicon.cim_errors import KINDS
from vmcoredd.emu.silicon.model import fault_name

CARDS = ("t62100-cr", "t520-cr", "t540-cr", "t580-mc1")
"""Two chips; four ports; two external memories."""
SEEDS = {name: seed for seed, name in enumerate(CARDS, 1)}
NO_DUMP = ("device-gone", "flash-busy", "flash-hangs", "other-function")
"""Faults with which the driver's bring-up fails."""
SIZE = 8 << 20
"""Bytes of a dump: enough for all entities of a card with little memory."""
INVISIBLE = (
    *("busy-once", "firmware-dead", "firmware-slow", "flash-slow", "vpd-slow"),
    *("firmware-asserts", "firmware-loses-command", "firmware-retval=EBUSY"),
    *("dma-read-refused", "dma-write-refused", "interrupt-lost", "interrupt-late=500"),
    *("interrupt-twice", "send-completion-lost", "receive-completion-lost"),
)
"""Faults that change no byte of a dump, only the time it takes, or what becomes of a mailbox
command or of traffic: in a crash kernel, a dump has none."""
UNKNOWABLE = ("bit-flip=TP_OUT_CONFIG:3", "memory-bit-flip=EDC0+0x1000:3")
"""Faults that change words of a dump that nothing tells apart from right ones."""
TOO_SLOW = ("cim-ibq-busy",)
"""Faults whose dump takes millions of polls."""
STORIES = (
    ("ecc-uncorrectable-edc0", "firmware-crash"),
    ("ecc-uncorrectable-mc0", "parity-mc0"),
    ("ecc-correctable-edc1", "ecc-uncorrectable-edc1"),
    ("cim-illegal-access", "firmware-crash"),
    ("cim-memory-timeout", "firmware-unexpected"),
    ("ma-wrap", "firmware-crash"),
    ("parity-pl", "parity-sge"),
    ("sge-idma0-stuck", "free-list-empty"),
    ("sge-idma1-stuck", "pcie-completion-timeout"),
    ("sge-idma0-stuck", "receive-blocked"),
    ("tp-out-of-pages", "send-blocked"),
    ("sge-bad-pidx", "sge-egress-size"),
    ("doorbell-fifo-full", "doorbell-dropped"),
    ("tp-out-of-pages", "tp-drops"),
    ("link-local-fault-port0", "link-remote-fault-port1"),
    ("rx-crc-errors", "link-high-ber-port1"),
    ("rx-drops", "free-list-empty"),
    ("pcie-narrow-link", "pcie-correctable"),
    ("firmware-halted", "mailbox-taken"),
)
"""Pairs of which one can cause the other, or of which both need the same register."""
STOPS = frozenset(f"firmware-{kind}" for kind in KINDS)
"""Of these a card has one: the firmware stops once."""


class Labelled(NamedTuple):
    """A dump, the faults of its card in the order in which they happened, and the card."""

    faults: tuple[str, ...]
    card: str
    """The profile; memories have 1 MiB each."""
    seed: int
    made: CardDump

    @property
    def dump(self) -> cudbg.Dump:
        """The parsed dump."""
        return self.made.dump


def labelled_dumps(every: int = 1) -> Iterator[Labelled]:
    """Yields a dump with each fault alone, then at least as many with two; all take 20 seconds.

    `every` selects: 3 yields every third.
    """
    for faults in islice(chain(singles(), pairs()), 0, None, every):
        yield labelled(*faults)


def labelled(*faults: str, card: str = "") -> Labelled:
    """Returns a dump of a card with these faults: of `card`, or of one that can have them."""
    name = card or fitting(*faults)[0]
    return Labelled(faults, name, SEEDS[name], collect(broken(name, *faults), "none", size=SIZE))


@cache
def healthy(name: str) -> Labelled:
    """Returns a dump of the same card without faults."""
    return labelled(card=name)


@cache
def singles() -> tuple[tuple[str, ...], ...]:
    """The faults that leave a dump."""
    examples = (fault.example for fault in emu.faults().values() if not fault.served)
    return tuple((text,) for text in examples if text not in (*NO_DUMP, *TOO_SLOW))


def reports(text: str) -> bool:
    """Returns whether a fault, perhaps with its argument, only reports something."""
    return emu.faults()[fault_name(text)].reports


@cache
def pairs() -> tuple[tuple[str, ...], ...]:
    """STORIES, then each fault with another one, which reports something."""
    names = [name for (name,) in singles()]
    others = [name for name in names if reports(name)]
    found, random = dict.fromkeys(STORIES), Random(11)
    for name in names:
        apart = {name} | (STOPS if name in STOPS else set())
        fits = [other for other in others if other not in apart and fitting(name, other)]
        found[name, random.choice(fits)] = None
    return tuple(found)


@cache
def fitting(*faults: str) -> tuple[str, ...]:
    """The cards that can have these faults, T6 and T5 first in turns."""
    fits = [name for name in CARDS if all(name in _having(fault) for fault in faults)]
    first = sum(len(fault) for fault in faults) % 2
    return (*fits[first:2], *fits[:first], *fits[2:]) if len(fits) > 1 else tuple(fits)


@cache
def _having(fault: str) -> frozenset[str]:
    return frozenset(name for name in CARDS if _can_have(name, fault))


def _can_have(name: str, fault: str) -> bool:
    """Tries it on a card that may have other faults already, as `broken` restores it."""
    if reports(fault):
        try:
            _fresh(name)[0].fail(fault)
        except NoSuchFault:
            return False
    return True


@cache
def _fresh(name: str) -> tuple[emu.Card, emu.Snapshot]:
    card = _load(name)
    return card, card.snapshot()


def _load(name: str, *faults: str) -> emu.Card:
    memory = SMALL["memory"] | ({"mc1": 1} if name == "t580-mc1" else {})
    return emu.Card.load(name, SEEDS[name], faults=faults, strict=True, memory=memory)


def broken(name: str, *faults: str) -> emu.Card:
    """Returns a card with these faults; a snapshot undoes those that only report something."""
    if not all(map(reports, faults)):
        return _load(name, *faults)
    card, saved = _fresh(name)
    card.restore(saved)
    for fault in faults:
        card.fail(fault)
    return card
