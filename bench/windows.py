"""Ways to read adapter memory through a memory window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, cast

from pyvfio_user import SPIN
from vmcoredd.bench.machine import on_cpus, placements
from vmcoredd.bench.measure import Row, Run, Series, interleave, timed
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.chip import Chip
from vmcoredd.chip.memory import MEMWIN0, WINDOW_BASE_SHIFT
from vmcoredd.driver import Adapter
from vmcoredd.driver.transports import Socket
from vmcoredd.hw.io import Cell, Io, Op, Read, Write

if TYPE_CHECKING:
    import mmap

GROUP = "memory window"
LARGE = (2, 0x60000, 128 << 10)
"""The largest window that the Linux driver sets up on these chips: number, base, bytes."""
TRAPPED_BYTES = 16 << 10
"""Bytes read one access at a time."""
BULK_BYTES = 2 << 20
MIB = 1 << 20
_TRAPPED = "trapped, 8 bytes at a time"


def measure(rounds: int) -> Iterator[Row]:
    """Measures MiB per second of EDC memory, against one access at a time."""
    for name, took in rates(rounds).items():
        trapped = took[_TRAPPED]
        against = f"{_TRAPPED}, {trapped.median:.2f} MiB/s"
        for way, rate in took.items():
            if way != _TRAPPED:
                yield Row(GROUP, f"{way}, {name}", rate, "MiB/s", rate.over(trapped), against)


def rates(rounds: int) -> dict[str, dict[str, Series]]:
    """Returns MiB per second by placement and way."""
    found = {}
    for placement in placements():
        with ExitStack() as stack:
            servers = [
                CardServer(map_window=mapped, spin=SPIN, cpus=placement.server)
                for mapped in (False, True)
            ]
            paths = [stack.enter_context(serving(server)) for server in servers]
            stack.enter_context(on_cpus(placement.client))
            plain, mapped = [Socket(path, spin=SPIN) for path in paths]
            stack.callback(plain.close)
            stack.callback(mapped.close)
            found[placement.name] = interleave(_ways(plain, mapped), rounds)
    return found


def _ways(plain: Socket, mapped: Socket) -> dict[str, Run]:
    adapter = Adapter(plain)
    chip, io, single = adapter.chip, adapter.io, plain.io(pipelined=False)
    number, base, size = LARGE
    word = chip.r.PCIE_MEM_ACCESS_BASE_WIN.of(Window=size.bit_length() - 1 - WINDOW_BASE_SHIFT)
    io.write(chip.r.PCIE_MEM_ACCESS_BASE_WIN[number], word | base)
    mapping = memoryview(cast("mmap.mmap", mapped.client.mmap(0)))
    page = mapping[MEMWIN0.base % len(mapping) :][: MEMWIN0.aperture]
    small = (MEMWIN0.number, MEMWIN0.base, MEMWIN0.aperture)
    return {
        _TRAPPED: _rate(partial(_pipelined, single, chip, small), TRAPPED_BYTES),
        "bulk reads, 2 KiB window": _rate(partial(_pipelined, io, chip, small), BULK_BYTES),
        "page mapped, 2 KiB window": _rate(
            partial(_mapped, Adapter(mapped).io, chip, page), BULK_BYTES
        ),
        "bulk reads, 128 KiB window": _rate(partial(_pipelined, io, chip, LARGE), BULK_BYTES),
    }


def _rate(read: Callable[[memoryview], object], size: int) -> Run:
    """Returns a run that reads `size` bytes and returns MiB per second."""
    out = memoryview(bytearray(size))
    return lambda: size / MIB / timed(lambda: read(out))


def _moves(chip: Chip, number: int) -> list[Op]:
    """Returns what moves the window to the row's address and reads that back, as Linux does."""
    offset = chip.r.PCIE_MEM_ACCESS_OFFSET[number]
    return [Write(offset, Cell(0)), Read(offset, keep=False)]


def _pipelined(io: Io, chip: Chip, window: tuple[int, int, int], out: memoryview) -> None:
    number, base, size = window
    size = min(size, len(out))
    ops = [*_moves(chip, number), Read(base, count=size // 8, width=8)]
    io.run(ops, [(address,) for address in range(0, len(out), size)], out)


def _mapped(io: Io, chip: Chip, page: memoryview, out: memoryview) -> None:
    """Reads through the mapped page, with a round trip and a copy for each address."""
    ops = _moves(chip, MEMWIN0.number)
    for address in range(0, len(out), len(page)):
        io.run(ops, [(address,)])
        out[address : address + len(page)] = page
