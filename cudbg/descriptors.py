"""Decodes the descriptors of a queue: work requests, entries of ingress queues, free lists.

A ring holds old descriptors besides those that wait. Where a work request begins is known only from
the consumer's index on; before it, a descriptor is taken for the start of one if it looks so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from vmcoredd.chip.messages import (
    BUFFER_SIZE_MASK,
    CONTROL_BYTES,
    CPL_OFFSET,
    DESCRIPTOR_BYTES,
    LENGTH_UNIT,
    POINTER_BYTES,
    Cpl,
    Response,
    WorkRequest,
    cpl_name,
    work_request_name,
)
from vmcoredd.plural import exact

_LSO_BYTES = 16
"""struct cpl_tx_pkt_lso_core, which stands before the packet's own CPL."""
_HEADERS_BYTES = 2 * DESCRIPTOR_BYTES
"""More than all headers of a work request that are decoded."""
_LEAST_ENTRY = 8 + CONTROL_BYTES
_TID_MASK = 0xFFFFFF


class Descriptor(NamedTuple):
    """One message in a queue, or what lies there."""

    slot: int
    """The index of its first descriptor."""
    slots: int
    name: str
    """The work request, or what the entry is; empty if it does not begin like one."""
    messages: str
    """The CPLs in it, by name."""
    detail: str


def work_requests(data: bytes, start: int = 0) -> Iterator[Descriptor]:
    """Yields the messages of an egress queue, from slot `start` on and around the ring; zeros are
    left out."""
    count = len(data) // DESCRIPTOR_BYTES
    ring = data[: count * DESCRIPTOR_BYTES] + (data * 2)[:_HEADERS_BYTES]
    at = 0
    while at < count:
        slot = (start + at) % count
        begin = slot * DESCRIPTOR_BYTES
        found = _work_request(ring[begin : begin + _HEADERS_BYTES], slot, count - at)
        if found:
            yield found
        at += found.slots if found else 1


def _work_request(block: bytes, slot: int, left: int) -> Descriptor | None:
    if not any(block[:DESCRIPTOR_BYTES]):
        return None
    opcode, length = block[0], block[7]
    name, slots = work_request_name(opcode), -(-length * LENGTH_UNIT // DESCRIPTOR_BYTES)
    if not name or not 0 < slots <= left or len(block) < _HEADERS_BYTES:
        return Descriptor(slot, 1, "", "", "the rest of another, or unknown")
    messages, detail = _messages(WorkRequest(opcode), block)
    size = f"{length * LENGTH_UNIT} bytes"
    return Descriptor(slot, slots, name, messages, f"{size}, {detail}" if detail else size)


def _messages(kind: WorkRequest, block: bytes) -> tuple[str, str]:
    """Returns the names of the CPLs at the start of a work request, and what they tell."""
    at = CPL_OFFSET.get(kind)
    if at is None:
        return "", ""
    first = block[at]
    if kind == WorkRequest.TP:
        return cpl_name(first), f"TID {int.from_bytes(block[at : at + 4], 'big') & _TID_MASK}"
    if first in (Cpl.TX_PKT_LSO, Cpl.TX_TNL_LSO):
        if first == Cpl.TX_TNL_LSO:
            return cpl_name(first), ""
        mss = int.from_bytes(block[at + 6 : at + 8], "big") & 0x3FFF
        names, detail = _packet(block, at + _LSO_BYTES)
        return f"{cpl_name(first)} {names}", f"{detail}, MSS {mss}"
    return _packet(block, at)


def _packet(block: bytes, at: int) -> tuple[str, str]:
    """Decodes struct cpl_tx_pkt_core."""
    interface, length = block[at + 1] & 0xF, int.from_bytes(block[at + 6 : at + 8], "big")
    return cpl_name(block[at]), f"TXPKT_INTF {interface}, packet of {exact(length, 'byte')}"


def responses(data: bytes, size: int) -> Iterator[Descriptor]:
    """Yields the entries of an ingress queue, `size` bytes each; zeros are left out."""
    if size < _LEAST_ENTRY:
        return
    for slot in range(len(data) // size):
        entry = data[slot * size : (slot + 1) * size]
        if any(entry):
            yield _response(entry, slot)


def _response(entry: bytes, slot: int) -> Descriptor:
    """Decodes an entry: struct rss_header, a CPL, and at the end struct rsp_ctrl."""
    control = entry[-CONTROL_BYTES:]
    type_gen, low = control[8], int.from_bytes(control[4:8], "big")
    kind = type_gen >> 4 & 3
    name = Response(kind).name if kind in Response._value2member_map_ else f"type {kind}"
    detail = f"generation {type_gen >> 7}"
    if kind == Response.INTR:
        return Descriptor(slot, 1, name, "", f"{detail}, of queue {low}")
    new = " in a new buffer" if low >> 31 and kind == Response.FLBUF else ""
    detail += f", {exact(low & 0x7FFFFFFF, 'byte')}{new}" if kind == Response.FLBUF else ""
    return Descriptor(slot, 1, name, cpl_name(entry[0]), detail + _told(entry))


def _told(entry: bytes) -> str:
    """Returns what the CPL of an entry tells of a queue."""
    if entry[0] != Cpl.SGE_EGR_UPDATE:
        return ""
    queue = int.from_bytes(entry[8:12], "big") & 0x1FFFF
    return f", egress queue {queue}: CIDX {int.from_bytes(entry[12:14], 'big')}"


def pointers(data: bytes) -> Iterator[Descriptor]:
    """Yields the buffers of a free list; empty places are left out."""
    for slot in range(len(data) // POINTER_BYTES):
        at = slot * POINTER_BYTES
        address = int.from_bytes(data[at : at + POINTER_BYTES], "big")
        if address:
            size = address & BUFFER_SIZE_MASK
            detail = f"address {address & ~BUFFER_SIZE_MASK:#x}, SGE_FL_BUFFER_SIZE{size}"
            yield Descriptor(slot, 1, "buffer", "", detail)
