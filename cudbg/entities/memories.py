"""EDC0, EDC1, MC0, MC1, HMA: the complete contents of the adapter's memories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import REGIONS, MemoryId
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.asking import flush_cache
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Bytes, Decoded, Hexdump, Section
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.cudbg.errors import DumpFormatError, Status
from vmcoredd.cudbg.meminfo import read_meminfo
from vmcoredd.cudbg.memory_map import Extent, Meminfo, Span, memory_of, span_of
from vmcoredd.cudbg.remains import Remains, decode_start
from vmcoredd.cudbg.tcb_table import tcb_table
from vmcoredd.hw.io import Io
from vmcoredd.hw.window import View, Window

_PAYLOADS = ("Tx payload", "Rx payload")


@entity(18, "EDC0", memory=MemoryId.EDC0)
@entity(19, "EDC1", memory=MemoryId.EDC1)
@entity(20, "MC0", memory=MemoryId.MC0, optional=True)
@entity(21, "MC1", memory=MemoryId.MC1, optional=True)
@entity(68, "HMA", memory=MemoryId.HMA, optional=True)
class AdapterMemory(Entity):
    """A whole memory of the adapter (cudbg_collect_mem_region(), cudbg_read_fw_mem()).

    Packet data are left out: pieces within a payload region are not read and stay zero.
    """

    momentary = Kind.WORK
    all_zero = "EMPTY: All {count} words of the memory are 0."
    stage = Stage.MEMORIES
    raw_bytes = None
    accesses = None
    host_order = False
    memory: MemoryId

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        size = self._size(io, chip, ctx)
        skip = [span for region in _PAYLOADS if (span := self._payload(io, chip, region))]
        reader = _Reader(Window(io, chip, ctx.device), self.memory)
        done = 0
        for area in ctx.pieces(size):
            for start, end in _wanted(done, len(area), skip):
                reader.read(done + start, area[start:end])
            done += len(area)

    def _size(self, io: Io, chip: Chip, ctx: Context) -> int:
        """Returns the size in bytes (cudbg_mem_region_size()); raises Status with `sys_err` -24 if
        the memory is absent."""
        info = Meminfo()
        try:
            read_meminfo(io, chip, info)
            flush_cache(ctx)
            extent = memory_of(info, chip, self.memory)
        except Status as missing:
            raise Status(missing.code, sys_err=missing.code) from missing
        size: int = extent.limit - extent.base & U32_MASK
        return size

    def _payload(self, io: Io, chip: Chip, region: str) -> Span | None:
        """Returns the payload region (cudbg_get_payload_range()), shrunk to whole pieces."""
        info = Meminfo()
        read_meminfo(io, chip, info)
        return self._whole_pieces(info, chip, region)

    def _whole_pieces(self, info: Meminfo, chip: Chip, region: str) -> Span | None:
        try:
            extent = memory_of(info, chip, self.memory)
        except Status:
            return None
        span = span_of(info, extent, region)
        if span is None:
            return None
        start = (span.start + PIECE_BYTES - 1 & U32_MASK) // PIECE_BYTES * PIECE_BYTES
        return Span(start, span.end // PIECE_BYTES * PIECE_BYTES)

    def not_read(self, info: Meminfo, chip: Chip) -> int:
        """Returns how many of its bytes are payload, which is never read."""
        spans = [self._whole_pieces(info, chip, region) for region in _PAYLOADS]
        return sum(max(span.end - span.start, 0) for span in spans if span)

    explained_by = ("MEMINFO",)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return Decoded([Hexdump(self.name, [Section(self.name, 0, len(blob))], blob)])

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        try:
            info = meminfo_of(others["MEMINFO"])
            extent = memory_of(info, chip, self.memory)
        except (KeyError, DumpFormatError, Status):
            return self.decode(blob, chip)
        whole = Section(self.name, 0, len(blob))
        named = sorted(_regions(info, extent, len(blob)), key=lambda region: region.start)
        tcbs = tcb_table(self.name, info, extent, blob)
        return Decoded([Hexdump(self.name, [whole, *named], blob), *([tcbs] if tcbs else [])])

    def decode_remains(self, remains: Remains, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        return decode_start(lambda blob: self.decode_with(blob, others, chip), remains)


def _regions(info: Meminfo, extent: Extent, size: int) -> Iterator[Section]:
    """Yields the named parts of a memory."""
    for region in REGIONS:
        span = span_of(info, extent, region.name)
        if span and span.start < size:
            yield Section(region.name, span.start, min(span.end + 1, size))
    for name, first, last in (
        ("processor RAM", info.up_ram_lo, info.up_ram_hi),
        ("processor external memory", info.up_extmem2_lo, info.up_extmem2_hi),
    ):
        if extent.base <= first <= last < extent.base + size:
            yield Section(name, first - extent.base, last + 1 - extent.base)


class _Reader:
    """Reads pieces of a memory as the kernel does, but pipelined."""

    def __init__(self, window: Window, memory: MemoryId) -> None:
        self._window, self._memory = window, memory
        self._view: View | None = None

    def read(self, address: int, out: memoryview) -> None:
        """Fills `out`, which begins at a piece boundary."""
        known = self._view is not None
        self._view = self._view or self._window.view(self._memory)
        chunks = [
            (address + at, min(PIECE_BYTES, len(out) - at))
            for at in range(0, len(out), PIECE_BYTES)
        ]
        self._window.read_chunks(self._view, chunks, out, width=8, known=known)


def _wanted(done: int, size: int, skip: list[Span]) -> Iterator[tuple[int, int]]:
    """Yields the parts of an area to read; the area begins `done` bytes into the memory."""

    def skipped(at: int) -> bool:
        end = done + min(at + PIECE_BYTES, size)
        return any(span.start <= done + at and end <= span.end for span in skip)

    for is_skipped, pieces in groupby(range(0, size, PIECE_BYTES), skipped):
        starts = list(pieces)
        if not is_skipped:
            yield starts[0], min(starts[-1] + PIECE_BYTES, size)
