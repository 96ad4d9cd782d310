"""QDESC: the descriptors of the driver's own queues, copied from host memory.

A crash kernel has just probed the adapter and has no queues: 16 bytes of header, then zeros up to
32 MiB. In a dump of a running driver, entries follow the header.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
from vmcoredd.cudbg.container import DUMP_BYTES, PIECE_BYTES, VersionHeader
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, Stage, entity
from vmcoredd.cudbg.errors import Code, DumpFormatError, Status, UnknownFormat
from vmcoredd.hw.io import Io

_REVISION = 1


class Header(LittleStruct):
    """The version, then struct cudbg_qdesc_info."""

    _fields_ = (("version", VersionHeader), ("qdesc_entry_size", u32), ("num_queues", u32))


class Queue(LittleStruct):
    """struct cudbg_qdesc_entry; `data_size` bytes of descriptors follow it."""

    _fields_ = (
        ("data_size", u32),
        ("qtype", u32),
        ("qid", u32),
        ("desc_size", u32),
        ("num_desc", u32),
    )


_TYPES = (  # enum cudbg_qdesc_qtype
    "unknown",
    "NIC tx",
    "NIC rx",
    "NIC free list",
    "control",
    "firmware events",
    "forwarded interrupts",
    "PTP tx",
    "offload tx",
    "RDMA rx",
    "RDMA free list",
    "RDMA concentrator",
    "iSCSI rx",
    "iSCSI free list",
    "iSCSI target rx",
    "iSCSI target free list",
    "crypto tx",
    "crypto rx",
    "crypto free list",
    "TLS rx",
    "TLS free list",
    "Ethernet offload tx",
    "Ethernet offload rx",
    "Ethernet offload free list",
)
_COLUMNS = (
    Column("offset", "x"),
    Column("queue", "d"),
    Column("type"),
    Column("descriptors", "d"),
    Column("bytes each", "d"),
    Column("bytes", "d"),
)


@entity(70, "QDESC")
class Qdesc(Entity):
    """Descriptors of the driver's queues (cudbg_collect_qdesc() of a driver without queues).

    The kernel gathers everything in memory first, and fails with -12 if it cannot allocate it. This
    collector holds one piece at a time, so it cannot fail in that way.
    """

    stage = Stage.DRIVER
    raw_bytes = DUMP_BYTES
    accesses = 0

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        head = Header(qdesc_entry_size=sizeof(Queue))
        head.version.set(_REVISION, sizeof(Header) - sizeof(VersionHeader))
        try:
            for area in ctx.pieces(PIECE_BYTES):
                area[:] = bytes(head).ljust(PIECE_BYTES, b"\0")
            ctx.zeros(DUMP_BYTES - PIECE_BYTES)
        except Status:
            ctx.warn(Code.PARTIAL_DATA)
            raise

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        if len(blob) < sizeof(Header):
            raise UnknownFormat(self.name, sizeof(Header), len(blob))
        VersionHeader.check(self.name, blob, _REVISION, sizeof(Header) - sizeof(VersionHeader))
        head = Header.from_bytes(blob[: sizeof(Header)])
        if head.qdesc_entry_size < sizeof(Queue):
            raise DumpFormatError(
                f"{self.name}: header of a queue", sizeof(Queue), head.qdesc_entry_size
            )
        rows = Lazy(lambda: _queues(self.name, blob, head))
        fields = Fields("queue descriptors", [Item("queues", head.num_queues, form="d")])
        return Decoded([fields, Table("queues", _COLUMNS, rows)])


def _queues(name: str, blob: Bytes, head: Header) -> Iterator[list[Value]]:
    at = sizeof(Header)
    for _ in range(head.num_queues):
        end = at + head.qdesc_entry_size
        if end > len(blob):
            raise DumpFormatError(
                f"{name}: queue at {at:#x}", head.qdesc_entry_size, len(blob) - at
            )
        queue = Queue.from_bytes(blob[at:end])
        if end + queue.data_size > len(blob):
            raise DumpFormatError(f"{name}: queue at {at:#x}", queue.data_size, len(blob) - end)
        kind = _TYPES[queue.qtype] if queue.qtype < len(_TYPES) else f"type {queue.qtype}"
        shape: list[Value] = [queue.num_desc, queue.desc_size, queue.data_size]
        yield [at, queue.qid, kind, *shape]
        at = end + queue.data_size
