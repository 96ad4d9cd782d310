"""TP_LA: the logic analyser of the transport processor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmcoredd.chip import Chip, Field, Register
from vmcoredd.chip.layout import LittleStruct, sizeof, u32, u64, u64s
from vmcoredd.chip.tp import (
    LA_ENTRIES,
    LA_FIELDS,
    LA_PACKET_FIELDS,
    LA_TUNNEL_FIELDS,
    LA_TUNNEL_PACKET,
)
from vmcoredd.cudbg.decoded import Bytes, Decoded, Fields, Item, Text
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Cell, Io, Op, Read, Write

_INCOMPLETE = (1 << 64) - 1
_CONTROL = 0xFFFF
"""The lower half of the configuration; the mask above it is 0 in a crash kernel."""
_PAIRS = 2
_PACKETS = 3
"""Modes in which two words belong together; in the second they are of two kinds."""


class Layout(LittleStruct):
    """struct cudbg_tp_la with its data; the driver leaves the size 0."""

    _fields_ = (("size", u32), ("mode", u32), ("data", u64 * LA_ENTRIES))


@entity(43, "TP_LA")
class TpLa(Entity):
    """cudbg_collect_tp_la(), t4_tp_read_la()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout, config = Layout.from_buffer(ctx.area(sizeof(Layout))), chip.r.TP_DBG_LA_CONFIG
        layout.mode = config.get(io.read(config), "DbgLaMode")
        control = io.read(config) & _CONTROL
        running = bool(control & config.mask("DbgLaEnable"))
        if running:
            io.write(config, control ^ config.mask("DbgLaEnable"))
        layout.data = _read(io, chip, io.read(config))
        if running:
            io.write(config, control)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        head = Fields("analyser", [Item("mode", layout.mode)])
        lines = _lines(list(layout.data), layout.mode)
        return Decoded([head, Text("trace, oldest first", list(lines))])


def _read(io: Io, chip: Chip, stopped: int) -> Sequence[int]:
    """All words from the write pointer on; the last may be half written."""
    config = chip.r.TP_DBG_LA_CONFIG
    half = config.get(stopped, "DbgLaMode") >= _PAIRS and not config.get(stopped, "DbgLaWhlf")
    first = config.get(stopped, "DbgLaWptr") + half
    requests = _requests(config, first, stopped & _CONTROL & ~config.mask("DbgLaRptr"))
    ops: list[Op] = [Write(config, Cell()), Read(chip.r.TP_DBG_LA_DATAL, width=8)]
    words = u64s(io.run(ops, requests))
    return (*words[:-1], _INCOMPLETE) if half else words


def _requests(config: Register, first: int, control: int) -> list[int]:
    pointer = config.field("DbgLaRptr")
    return [control | pointer.put((first + i) % LA_ENTRIES) for i in range(LA_ENTRIES)]


def _lines(words: Sequence[int], mode: int) -> Iterator[str]:
    """A line for each word, with all its fields (cxgb4_debugfs.c, tp_la_show())."""
    for i, word in enumerate(words):
        if word == _INCOMPLETE and i == len(words) - 1:
            return
        fields = _fields(words[i - 1], i, mode)
        shown = " ".join(f"{field.name}={field.get(word):#x}" for field in fields)
        yield f"{word:016x} {shown}"


def _fields(before: int, i: int, mode: int) -> tuple[Field, ...]:
    """Which fields word `i` has; of a pair in packet mode, the first word tells."""
    if mode != _PACKETS or i % 2 == 0:
        return LA_FIELDS
    return LA_TUNNEL_FIELDS if before & LA_TUNNEL_PACKET else LA_PACKET_FIELDS
