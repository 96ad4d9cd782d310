"""Dumps one entity of a card of plain memory; and silicon that some entities need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ramcard import RamCard

from vmcoredd import cudbg
from vmcoredd.chip import Chip

HEADERS_BYTES = 56 + 72 * 52
CIM_CTRL, CIM_DATA = 0x7B50, 0x7B54  # CIM_HOST_ACC_CTRL, _DATA
CIM_WRITE, CIM_BUSY = 1 << 16, 1 << 17


def dumped(
    card: RamCard, chip: Chip, name: str, *, room: int = 1 << 20, **device: Any
) -> tuple[cudbg.Collected, bytes]:
    """The entity's result and its raw bytes; `device` sets fields of the driver's Device."""
    buffer = bytearray(room)
    report = cudbg.collect(
        card.io(),
        cudbg.Device(chip, 0, **device),
        memoryview(buffer),
        compress="none",
        entities=[name],
    )
    (entity,) = report.entities
    return entity, bytes(buffer[HEADERS_BYTES : HEADERS_BYTES + entity.raw_bytes])


def codes(entity: cudbg.Collected) -> tuple[int, int, int]:
    """hdr_flags, sys_err, sys_warn."""
    return entity.code, entity.sys_err, entity.sys_warn


def writes(card: RamCard, *registers: int) -> list[int]:
    """The values written to `registers` from now on."""
    seen: list[int] = []
    for register in registers:
        card.on_write[register] = seen.append
    return seen


def answers(card: RamCard, register: int, row: Callable[[int], int], at: int | None = None) -> None:
    """A write to `register` puts `row(value)` at `at`, or into the register itself."""
    target = register if at is None else at
    card.on_write[register] = lambda value: card.put(target, row(value))


def indexed(card: RamCard, index: int, data: int, word: Callable[[int], int]) -> None:
    """`data` shows `word(index)` for each index that is written."""
    answers(card, index, word, data)


def cim(card: RamCard) -> dict[int, int]:
    """The embedded processor's address space, never busy."""
    space: dict[int, int] = {}

    def access(request: int) -> None:
        address = request & 0xFFFF
        if request & CIM_WRITE:
            space[address] = card.word(CIM_DATA)
        else:
            card.put(CIM_DATA, space.get(address, 0))
        card.put(CIM_CTRL, request & ~CIM_BUSY)

    card.on_write[CIM_CTRL] = access
    return space


def delayed(card: RamCard, register: int, bits: int, reads: int) -> None:
    """`register` shows `bits` for `reads` reads, then no more."""
    left = reads

    def read(stored: int) -> int:
        nonlocal left
        left -= 1
        return stored | bits if left >= 0 else stored & ~bits

    card.on_read[register] = read
