"""Dumps one card with the kernel's driver and with ours, and compares the dumps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmcoredd import cudbg, driver

from . import dump
from .cards import Card
from .harness import Harness

#: Reads and writes of 4 bytes, then of 8, by entity; entities without any are left out.
Accesses = dict[int, tuple[int, int, int, int]]


def by_kernel(library: Path, card: Card, *, compress: bool = True) -> tuple[bytearray, Accesses]:
    """Returns the dump that the kernel's driver makes, and its accesses."""
    with Harness(library, card) as witness:
        witness.probe()
        data = witness.collect(compress=compress)
        return data, _accesses(witness.counts)


def by_us(card: Any, *, compress: bool = True) -> tuple[bytearray, Accesses]:
    """Returns the dump that our driver makes, and its accesses.

    `card` is an `emu.Card`, or an object that has its `bar0` and `config_*`.
    """
    data = bytearray(cudbg.DUMP_SIZE)
    with driver.open_card(card) as adapter:
        report = adapter.collect(memoryview(data), compress="zlib" if compress else "none")
    return data, _accesses({entity.number: entity.counts for entity in report.entities})


def _accesses(counts: dict[int, Any]) -> Accesses:
    shown = {number: (c.r32, c.w32, c.r64, c.w64) for number, c in counts.items()}
    return {number: made for number, made in shown.items() if any(made)}


def assert_alike(theirs: bytearray, ours: bytearray) -> None:
    """Compares two dumps entity by entity, for the message, then byte by byte."""
    one, other = dump.read(theirs), dump.read(ours)
    assert differences(one, other) == {}
    assert ours[: other.length] == theirs[: one.length]


def differences(ours: dump.Dump, theirs: dump.Dump) -> dict[int, str]:
    """Returns how contents or codes differ, by entity; empty if the dumps agree."""
    found = {}
    for number in sorted(ours.entities.keys() | theirs.entities.keys()):
        one, other = ours.entities.get(number), theirs.entities.get(number)
        if one is None or other is None:
            found[number] = "only in the " + ("second" if one is None else "first")
        elif one.codes != other.codes:
            found[number] = f"codes {one.codes} and {other.codes}"
        elif one.raw != other.raw:
            found[number] = _difference(one.raw, other.raw)
    return found


def _difference(one: bytes, other: bytes) -> str:
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} bytes"
    offsets = [offset for offset in range(len(one)) if one[offset] != other[offset]]
    first = offsets[0] & ~3
    shown = f"{one[first : first + 4].hex()} and {other[first : first + 4].hex()}"
    return f"{len(offsets)} of {len(one)} bytes, first at {first:#x}: {shown}"
