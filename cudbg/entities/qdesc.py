"""QDESC: the descriptors of the driver's own queues, copied from host memory.

A crash kernel has just probed the adapter and has no queues: 16 bytes of header, then zeros up to
32 MiB. In a dump of a running driver, entries follow the header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES, LittleStruct, sizeof, u32
from vmcoredd.chip.messages import POINTERS_PER_INDEX
from vmcoredd.chip.momentary import Kind as Momentary
from vmcoredd.chip.sge import ContextType
from vmcoredd.cudbg.container import DUMP_BYTES, PIECE_BYTES, VersionHeader
from vmcoredd.cudbg.decoded import (
    Bytes,
    Column,
    Decoded,
    Fields,
    Item,
    Lazy,
    Part,
    Table,
    Text,
    Value,
)
from vmcoredd.cudbg.descriptors import Descriptor, pointers, responses, work_requests
from vmcoredd.cudbg.entity import NOTHING_WRITTEN, Context, Entity, Stage, entity
from vmcoredd.cudbg.errors import Code, DumpFormatError, Status, WrongSize
from vmcoredd.cudbg.queue_contexts import QueueState, StatusPage, queue_states
from vmcoredd.cudbg.remains import Remains, decode_start
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


class Kind(Enum):
    """What a queue's descriptors are."""

    NONE = "unknown"
    EGRESS = "work requests"
    INGRESS = "entries"
    FREE_LIST = "buffers"


_TYPES = (  # enum cudbg_qdesc_qtype
    ("unknown", Kind.NONE),
    ("NIC tx", Kind.EGRESS),
    ("NIC rx", Kind.INGRESS),
    ("NIC free list", Kind.FREE_LIST),
    ("control", Kind.EGRESS),
    ("firmware events", Kind.INGRESS),
    ("forwarded interrupts", Kind.INGRESS),
    ("PTP tx", Kind.EGRESS),
    ("offload tx", Kind.EGRESS),
    ("RDMA rx", Kind.INGRESS),
    ("RDMA free list", Kind.FREE_LIST),
    ("RDMA concentrator", Kind.INGRESS),
    ("iSCSI rx", Kind.INGRESS),
    ("iSCSI free list", Kind.FREE_LIST),
    ("iSCSI target rx", Kind.INGRESS),
    ("iSCSI target free list", Kind.FREE_LIST),
    ("crypto tx", Kind.EGRESS),
    ("crypto rx", Kind.INGRESS),
    ("crypto free list", Kind.FREE_LIST),
    ("TLS rx", Kind.INGRESS),
    ("TLS free list", Kind.FREE_LIST),
    ("Ethernet offload tx", Kind.EGRESS),
    ("Ethernet offload rx", Kind.INGRESS),
    ("Ethernet offload free list", Kind.FREE_LIST),
)
_COLUMNS = (
    Column("offset", "x"),
    Column("queue", "d"),
    Column("type"),
    Column("descriptors", "d"),
    Column("bytes each", "d"),
    Column("bytes", "d"),
    Column("PIDX", "d"),
    Column("CIDX", "d"),
    Column("ring", "d"),
    Column("waiting", "d"),
    Column("remark"),
)
_MESSAGE_COLUMNS = (
    Column("queue", "d"),
    Column("type"),
    Column("slot", "d"),
    Column("state"),
    Column("is"),
    Column("message"),
    Column("detail"),
)
_MISFIT = "the context does not fit this queue"
_CAVEATS = (
    "PIDX and CIDX are those of the context of that number in DUMP_CONTEXT; that",
    "the driver's numbers are the contexts' is assumed. PIDX tells which doorbells",
    "the card has taken: what the driver wrote after the last one is not known.",
    "Descriptors that do not wait are old; where old work requests begin is guessed.",
    "TXPKT_INTF is the driver's tx_chan, and 4 more for a packet that loops back.",
)
_DOORBELL_FIFOS = ("SGE_DBFIFO_STATUS", "SGE_DBFIFO_STATUS2")
_COUNTS = ("count", "cnt")
_NO_CONTEXTS = ("DUMP_CONTEXT is not in the dump: how far producer and consumer are is unknown.",)


@entity(70, "QDESC")
class Qdesc(Entity):
    """Descriptors of the driver's queues (cudbg_collect_qdesc() of a driver without queues).

    The kernel gathers everything in memory first, and fails with -12 if it cannot allocate it. This
    collector holds one piece at a time, so it cannot fail in that way.
    """

    momentary = Momentary.WORK
    of_host = None
    all_zero = NOTHING_WRITTEN
    stage = Stage.DRIVER
    layouts = (Header, Queue)
    raw_bytes = DUMP_BYTES
    accesses = 0

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        head = Header(qdesc_entry_size=sizeof(Queue))
        head.version.set(_REVISION, sizeof(Header) - sizeof(VersionHeader))
        queues = ctx.device.queues or bytes(head)
        filled = -(-len(queues) // PIECE_BYTES) * PIECE_BYTES
        done = 0
        try:
            for area in ctx.pieces(min(filled, DUMP_BYTES)):
                area[:] = queues[done : done + len(area)].ljust(len(area), b"\0")
                done += len(area)
            ctx.zeros(DUMP_BYTES - done)
        except Status:
            ctx.warn(Code.PARTIAL_DATA)
            raise

    explained_by = ("DUMP_CONTEXT", "REG_DUMP")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        if len(blob) < sizeof(Header):
            raise WrongSize(self.name, sizeof(Header), len(blob))
        VersionHeader.check(self.name, blob, _REVISION, sizeof(Header) - sizeof(VersionHeader))
        head = Header.from_bytes(blob[: sizeof(Header)])
        if head.qdesc_entry_size < sizeof(Queue):
            raise DumpFormatError(
                f"{self.name}: header of a queue", sizeof(Queue), head.qdesc_entry_size
            )
        fields = Fields("queue descriptors", [Item("queues", head.num_queues, form="d")])
        contexts = others.get("DUMP_CONTEXT")
        page = StatusPage.of(others.get("REG_DUMP"), chip)
        states = queue_states(contexts if head.num_queues else None, page, chip)
        rings = _Rings(self.name, blob, head, states)
        return Decoded(
            [
                fields,
                *_caveats(head, contexts, page),
                *_doorbells(head, others.get("REG_DUMP"), chip),
                Table("queues", _COLUMNS, Lazy(rings.rows)),
                Table("descriptors that are not zero", _MESSAGE_COLUMNS, Lazy(rings.messages)),
            ]
        )

    def decode_remains(self, remains: Remains, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        return decode_start(lambda blob: self.decode_with(blob, others, chip), remains)


def _caveats(head: Header, contexts: Bytes | None, page: StatusPage) -> list[Part]:
    """Says what the state of queues rests on."""
    of_page = f"ring: what indices go around. A status page ({page.meaning}) follows it."
    lines = _NO_CONTEXTS if contexts is None else [*_CAVEATS, of_page]
    return [Text("how to read the state of queues", lines)] if head.num_queues else []


def _doorbells(head: Header, registers: Bytes | None, chip: Chip) -> list[Part]:
    """Returns how many doorbells wait in the card's FIFOs, from REG_DUMP's bytes."""
    names = [name for name in _DOORBELL_FIFOS if name in chip.r]
    end = max(int(chip.r[name]) for name in names) + WORD_BYTES
    if not head.num_queues or registers is None or len(registers) < end:
        return []
    items: list[Item] = []
    for name in names:
        at = int(chip.r[name])
        fields = chip.r[name].decode(int.from_bytes(registers[at : at + WORD_BYTES], "little"))
        counts = {field: n for field, n in fields.items() if field.lower().endswith(_COUNTS)}
        items += [Item(field, n, f"of {name}") for field, n in counts.items()]
    return [Fields("doorbells that wait in the card, of all queues", items)]


class _Rings:
    """The queues in QDESC's bytes, with their states."""

    def __init__(
        self,
        name: str,
        blob: Bytes,
        head: Header,
        states: Mapping[tuple[ContextType, int], QueueState],
    ) -> None:
        self._name, self._blob, self._head, self._states = name, blob, head, states

    def _queues(self) -> Iterator[tuple[int, Queue, int]]:
        """Yields the offset of each queue's header, the header, and the offset of its data."""
        at = sizeof(Header)
        for _ in range(self._head.num_queues):
            end = at + self._head.qdesc_entry_size
            if end > len(self._blob):
                self._cut(at, self._head.qdesc_entry_size, len(self._blob) - at)
            queue = Queue.from_bytes(self._blob[at:end])
            if end + queue.data_size > len(self._blob):
                self._cut(at, queue.data_size, len(self._blob) - end)
            yield at, queue, end
            at = end + queue.data_size

    def _cut(self, at: int, need: int, have: int) -> None:
        raise DumpFormatError(f"{self._name}: queue at {at:#x}", need, have)

    def rows(self) -> Iterator[list[Value]]:
        """Yields a row for each queue."""
        for at, queue, _ in self._queues():
            name, _ = _type(queue)
            shape: list[Value] = [queue.num_desc, queue.desc_size, queue.data_size]
            yield [at, queue.qid, name, *shape, *self._indices(queue)]

    def _indices(self, queue: Queue) -> list[Value]:
        state, ring = self._state(queue), _ring(queue)
        if state is None:
            return [None, None, ring, None, ""]
        waiting = _waiting(queue, state)
        found = None if waiting is None else len(waiting)
        return [
            state.producer,
            state.consumer,
            ring,
            found,
            "" if waiting is not None else _MISFIT,
        ]

    def _state(self, queue: Queue) -> QueueState | None:
        kind = _type(queue)[1]
        table = ContextType.INGRESS if kind is Kind.INGRESS else ContextType.EGRESS
        return self._states.get((table, queue.qid)) if kind is not Kind.NONE else None

    def messages(self) -> Iterator[list[Value]]:
        """Yields a row for each message in each queue."""
        for _, queue, start in self._queues():
            (name, kind), state = _type(queue), self._state(queue)
            data = bytes(self._blob[start : start + queue.data_size])
            waiting = None if state is None else _waiting_slots(queue, state)
            first = state.consumer if state and waiting is not None else 0
            for slot, _, what, message, detail in _descriptors(kind, queue, data, first):
                shown = "waits" if waiting and slot in waiting else "old"
                if waiting is None:
                    shown = "" if state is None else _MISFIT
                yield [queue.qid, name, slot, shown, what, message, detail]


def _type(queue: Queue) -> tuple[str, Kind]:
    if queue.qtype < len(_TYPES):
        return _TYPES[queue.qtype]
    return f"type {queue.qtype}", Kind.NONE


def _ring(queue: Queue) -> int:
    """Returns how many values the indices of a queue's context take; the status page that follows
    is not in the dump."""
    per_index = POINTERS_PER_INDEX if _type(queue)[1] is Kind.FREE_LIST else 1
    return -(-int(queue.num_desc) // per_index)


def _waiting(queue: Queue, state: QueueState) -> range | None:
    """Returns the indices that wait; None if the context is not of this queue."""
    return state.waiting if state.ring == _ring(queue) else None


def _waiting_slots(queue: Queue, state: QueueState) -> set[int] | None:
    indices = _waiting(queue, state)
    if indices is None:
        return None
    waiting = {index % state.ring for index in indices}
    if _type(queue)[1] is not Kind.FREE_LIST:
        return waiting
    each = range(POINTERS_PER_INDEX)
    return {index * POINTERS_PER_INDEX + i for index in waiting for i in each}


def _descriptors(kind: Kind, queue: Queue, data: bytes, first: int) -> Iterator[Descriptor]:
    if kind is Kind.EGRESS:
        return work_requests(data, first)
    if kind is Kind.INGRESS:
        return responses(data, queue.desc_size)
    return pointers(data) if kind is Kind.FREE_LIST else iter(())
