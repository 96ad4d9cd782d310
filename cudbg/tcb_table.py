"""The connection control blocks (TCBs) that a memory's bytes hold, by TID."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import tcb
from vmcoredd.chip.memory import REGIONS
from vmcoredd.cudbg.decoded import Bytes, Column, Lazy, Table, Value
from vmcoredd.cudbg.memory_map import Extent, Meminfo, Span, span_of

_REGION = "TCBs"
_INDEX = next(i for i, region in enumerate(REGIONS) if region.name == _REGION)
_COLUMNS = (
    Column("TID", "d"),
    Column("address", "x8"),
    Column("kind"),
    Column("state"),
    Column("fields"),
)
_SOME = 512
"""TCBs that are read at once."""
_NOTHING = (bytes(tcb.BYTES), b"\xff" * tcb.BYTES)
"""Blocks without a connection: never written, or not measured."""


def tcb_table(name: str, info: Meminfo, memory: Extent, blob: Bytes) -> Table | None:
    """Returns the TCBs in use in the bytes of memory `name`; None if its part of the
    adapter's addresses has none of the region."""
    span = span_of(info, memory, _REGION)
    if span is None or span.start >= len(blob):
        return None
    begin = int(memory.base) + span.start
    title = f"TCBs by TID, decoded from {name}: region {_REGION} at address {begin:#x}"
    return Table(title, _COLUMNS, Lazy(lambda: _rows(info, memory, blob, span)))


def _rows(info: Meminfo, memory: Extent, blob: Bytes, span: Span) -> Iterator[list[Value]]:
    base = next(int(extent.base) for extent in info.mem if extent.idx == _INDEX)
    before = int(memory.base) + span.start - base
    first = -(-before // tcb.BYTES)  # a TCB that begins in another memory is left out
    start = base + first * tcb.BYTES - int(memory.base)
    count = (min(span.end + 1, len(blob)) - start) // tcb.BYTES
    for done in range(0, count, _SOME):
        some = range(first + done, first + min(done + _SOME, count))
        at = start + done * tcb.BYTES
        data = memoryview(blob[at : at + len(some) * tcb.BYTES])
        for i, tid in enumerate(some):
            block = data[i * tcb.BYTES : (i + 1) * tcb.BYTES]
            if block not in _NOTHING:
                yield [tid, base + tid * tcb.BYTES, *_tcb(block)]


def _tcb(block: memoryview) -> list[Value]:
    """Returns kind, state, and the fields that are not zero."""
    fields = tcb.decode(tcb.FILTER, block)
    if fields.pop("non_offload"):
        return ["filter", "", _used(fields) | tcb.translation(block)]
    fields = tcb.decode(tcb.TCP, block)
    sent = fields["tx_max"]
    for name in ("snd_una", "snd_nxt", "snd_rec", "snd_max"):
        fields[name] = sent - fields.pop(f"{name}_raw") & 0xFFFFFFFF
    return ["connection", tcb.state_name(fields.pop("t_state")), _used(fields)]


def _used(fields: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in fields.items() if value}
