"""The state of queues: how far producer and consumer are, from the contexts in DUMP_CONTEXT.

A context's QueueSize is what the driver asked for: a ring of descriptors, and the status page at
its end. Indices go around the ring only.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.chip.sge import (
    CONTEXT_BYTES,
    FREE_LIST_BIT,
    STATUS_DESCRIPTORS,
    STATUS_ENTRIES,
    VALID_BIT,
    ContextType,
)
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.plural import exact

_CONTEXT = struct.Struct(f"<II{CONTEXT_BYTES}s")
"""struct cudbg_ch_cntxt: type, number, data."""


class StatusPage(NamedTuple):
    """The end of egress queues and free lists that indices do not reach."""

    descriptors: int
    is_assumed: bool

    @classmethod
    def of(cls, registers: Bytes | None, chip: Chip) -> StatusPage:
        """Reads SGE_CONTROL in REG_DUMP's bytes; assumes the smaller page without it."""
        register = chip.r.SGE_CONTROL
        data = b"" if registers is None else registers[register : register + WORD_BYTES]
        word = int.from_bytes(data, "little")
        if len(data) < WORD_BYTES or word == U32_MASK:
            return cls(STATUS_DESCRIPTORS[0], is_assumed=True)
        return cls(STATUS_DESCRIPTORS[register.get(word, "EgrStatusPageSize")], is_assumed=False)

    def ring(self, kind: ContextType, size: int) -> int:
        """Returns how many values the indices of a queue take whose context has this size."""
        return size - (STATUS_ENTRIES if kind == ContextType.INGRESS else self.descriptors)

    @property
    def meaning(self) -> str:
        """How long it is, and who says so."""
        why = "assumed: SGE_CONTROL is not in the dump" if self.is_assumed else "SGE_CONTROL"
        return f"{exact(self.descriptors * 64, 'byte')}, {why}"


class QueueState(NamedTuple):
    """Indices of a queue's context, in the context's own unit."""

    producer: int
    """How far what is to be done has been announced: by doorbells for egress queues and free
    lists, by the hardware for ingress queues."""
    consumer: int
    ring: int
    """How many values the indices take; less than 1 if the context's size is impossible."""

    @property
    def is_possible(self) -> bool:
        """Whether both indices are in the ring."""
        return max(self.producer, self.consumer) < self.ring

    @property
    def waiting(self) -> range | None:
        """The indices that are not consumed, which may go past the ring; None if one is outside."""
        if not self.is_possible:
            return None
        return range(self.consumer, self.consumer + (self.producer - self.consumer) % self.ring)


def queue_states(
    contexts: Bytes | None, page: StatusPage, chip: Chip
) -> Mapping[tuple[ContextType, int], QueueState]:
    """Returns the state of each queue in use, from DUMP_CONTEXT's bytes, by table and number. Free
    lists are in the egress table."""
    found: dict[tuple[ContextType, int], QueueState] = {}
    data = b"" if contexts is None else bytes(contexts[0 : len(contexts)])
    whole = len(data) // _CONTEXT.size * _CONTEXT.size
    for kind, queue, context in _CONTEXT.iter_unpack(data[:whole]):
        number = int.from_bytes(context, "little")
        if kind in (ContextType.EGRESS, ContextType.INGRESS) and number >> VALID_BIT[kind] & 1:
            found[ContextType(kind), queue] = _state(ContextType(kind), number, page, chip)
    return found


def _state(kind: ContextType, number: int, page: StatusPage, chip: Chip) -> QueueState:
    free_list = kind == ContextType.EGRESS and bool(number >> FREE_LIST_BIT & 1)
    fields = {field.name: field for field in chip.sge.context_fields(kind, free_list=free_list)}
    size, units = fields["QueueSize"].get(number), chip.sge.context_units(kind, free_list=free_list)
    size = units["QueueSize"].scaled(size) if "QueueSize" in units else size
    producer, consumer = fields["PIDX"].get(number), fields["CIDX"].get(number)
    return QueueState(producer, consumer, page.ring(kind, size))
