"""The logic analysers of the CIM's interfaces: out (PO) and in (PI), read side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vmcoredd.chip import Chip
from vmcoredd.hw.io import Cell, Io, Op, Read, Write


@contextmanager
def frozen(io: Io, chip: Chip) -> Iterator[None]:
    """Stops the analysers if they run; their configuration is written back in either case."""
    config = chip.r.CIM_DEBUGCFG
    word = io.read(config)
    if word & config.mask("LADbgEn"):
        io.write(config, word ^ config.mask("LADbgEn"))
    yield
    io.write(config, word)


def pointer_rows(chip: Chip, out: Sequence[int], in_: Sequence[int]) -> list[int]:
    """What CIM_DEBUGCFG is written for each pair of read pointers.

    A pointer that has run over its nine bits is not cut by the driver, so it is not here.
    """
    config = chip.r.CIM_DEBUGCFG
    po, pi = config.field("POLADbgRdPtr").shift, config.field("PILADbgRdPtr").shift
    return [(p << po | q << pi) & 0xFFFFFFFF for p, q in zip(out, in_, strict=True)]


def read_pairs(
    io: Io, config: int, rows: Sequence[int], out: int, in_: int
) -> tuple[memoryview, memoryview]:
    """The words of each trace, one for each row."""
    ops: list[Op] = [Write(config, Cell()), Read(out), Read(in_)]
    words = io.run(ops, rows).cast("I")
    return words[::2], words[1::2]
