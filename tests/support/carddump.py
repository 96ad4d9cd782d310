"""Dumps of emulated cards, made once for all tests that only read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from vmcoredd import cudbg, emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.decoded import Decoded, Fields, Part, Table, Text
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.driver.transports import Inproc

CARDS = {T5: "t520-cr", T6: "t62100-cr"}
SMALL: dict[str, dict[str, Any]] = {"memory": {"edc0": 1, "edc1": 1, "mc0": 1}}
"""MiB: the smallest memory with which a card loses no entity."""

Codes = tuple[int, int, int]


@dataclass(frozen=True)
class CardDump:
    """A card, the report of its dump, and the dump."""

    card: emu.Card
    report: cudbg.Report
    data: bytearray

    @cached_property
    def dump(self) -> cudbg.Dump:
        """The parsed dump."""
        return cudbg.Dump(self.data)

    def entity(self, name: str) -> cudbg.Collected:
        """The result of one entity."""
        return next(entity for entity in self.report.entities if entity.name == name)

    def codes(self, name: str) -> Codes:
        """hdr_flags, sys_err and sys_warn of one entity's header in the dump."""
        entity = self.dump.entity(name)
        return entity.code, entity.sys_err, entity.sys_warn

    def words(self, name: str, first: int = 0) -> memoryview:
        """The 32-bit words of an entity, from byte `first` on."""
        return memoryview(self.dump.raw(name))[first:].cast("I")

    def table(self, name: str, title: str = "") -> list[dict[str, Any]]:
        """The rows of a decoded entity's table (the only one, or the one with that title)."""
        return rows(self.dump.decode(name), title)

    def fields(self, name: str) -> dict[str, Any]:
        """All named values of a decoded entity."""
        parts = [part for part in self.dump.decode(name) if isinstance(part, Fields)]
        return {item.name: item.value for part in parts for item in part.items}


def rows(decoded: Decoded, title: str = "") -> list[dict[str, Any]]:
    """The rows of a table, as dicts."""
    tables = [part for part in decoded if isinstance(part, Table) and title in part.title]
    assert len(tables) == 1, [table.title for table in tables]
    names = [column.name for column in tables[0].columns]
    return [dict(zip(names, row, strict=True)) for row in tables[0].rows]


def walk(decoded: Decoded) -> Iterator[Part]:
    """The parts of a decoded entity, each read to its end, so that lazy parts are computed."""
    for part in decoded:
        for _ in _content(part):
            pass
        yield part


def _content(part: Part) -> Iterator[object]:
    if isinstance(part, Table):
        yield from part.rows
    elif isinstance(part, Text):
        yield from part.lines


@cache
def collected(chip: Chip, compress: str = "zlib") -> CardDump:
    """A complete dump of the chip's card, seed 0."""
    return collect(emu.Card.load(CARDS[chip], strict=True), compress)


def collect(
    card: emu.Card,
    compress: str = "zlib",
    entities: tuple[str, ...] = (),
    size: int = cudbg.DUMP_SIZE,
) -> CardDump:
    """A dump of `card` in process; waits for the firmware take no time.

    A buffer of less than the kernel's `size`, in bytes, is made sooner.
    """
    io = Inproc(card).io()
    device = cudbg.Device(card.chip, card.profile.card.revision)
    mailbox = Mailbox(io, card.chip, device.pf, sleep=lambda seconds: None)
    buffer = bytearray(size)
    report = cudbg.collect(
        io,
        device,
        memoryview(buffer),
        compress=compress,
        entities=entities or None,
        firmware=mailbox.call,
    )
    return CardDump(card, report, buffer)


def small(chip: Chip, *faults: str, **options: Any) -> emu.Card:
    """The chip's card with little memory."""
    return emu.Card.load(CARDS[chip], faults=faults, strict=True, **{**SMALL, **options})
