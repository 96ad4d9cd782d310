"""A dump of an emulated card, made once for all tests that only look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cudbg
import emu
from chip import T5, T6, Chip
from driver.inproc import Inproc

CARDS = {T5: "t520-cr", T6: "t62100-cr"}


@dataclass(frozen=True)
class CardDump:
    """A report, and the dump that it speaks of."""

    report: cudbg.Report
    dump: cudbg.Dump

    def entity(self, name: str) -> cudbg.Collected:
        """How one entity went."""
        return next(entity for entity in self.report.entities if entity.name == name)


@cache
def collected(chip: Chip) -> CardDump:
    """A complete zlib dump of the chip's card, seed 0."""
    return collect(emu.Card.load(CARDS[chip], strict=True))


def collect(card: emu.Card, compress: str = "zlib", entities: tuple[str, ...] = ()) -> CardDump:
    """A dump of `card`, in process."""
    io = Inproc(card.bar0.access, card.config_access, owner=card).io()
    device = cudbg.Device(card.chip, card.profile.card.revision)
    buffer = bytearray(cudbg.DUMP_SIZE)
    report = cudbg.collect(
        io, device, memoryview(buffer), compress=compress, entities=entities or None
    )
    return CardDump(report, cudbg.Dump(buffer))
