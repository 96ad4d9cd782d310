"""One card dumped by the kernel's driver and by ours, for comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmcoredd import cudbg, driver

from . import dump
from .harness import Harness
from .regions import Card

#: By entity: reads and writes of 4 bytes, then of 8; entities without any are left out.
Accesses = dict[int, tuple[int, int, int, int]]


def by_kernel(library: Path, card: Card, *, compress: bool = True) -> tuple[bytearray, Accesses]:
    """The dump the kernel's driver makes, and how."""
    with Harness(library, card) as witness:
        witness.probe()
        data = witness.collect(compress=compress)
        return data, _accesses(witness.counts)


def by_us(card: Any, *, compress: bool = True) -> tuple[bytearray, Accesses]:
    """The dump our driver makes of an `emu.Card`, or of what has its `bar0` and `config_*`."""
    data = bytearray(cudbg.DUMP_SIZE)
    with driver.open_card(card) as adapter:
        report = adapter.collect(memoryview(data), compress="zlib" if compress else "none")
    return data, _accesses({entity.number: entity.counts for entity in report.entities})


def _accesses(counts: dict[int, Any]) -> Accesses:
    shown = {number: (c.r32, c.w32, c.r64, c.w64) for number, c in counts.items()}
    return {number: made for number, made in shown.items() if any(made)}


def assert_alike(theirs: bytearray, ours: bytearray) -> None:
    """The same dump: by entities first, for the message, then to the byte."""
    one, other = dump.read(theirs), dump.read(ours)
    assert dump.differences(one, other) == {}
    assert ours[: other.length] == theirs[: one.length]
