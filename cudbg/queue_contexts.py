"""The state of queues: how far producer and consumer are, from the contexts in DUMP_CONTEXT."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.sge import CONTEXT_BYTES, FREE_LIST_BIT, VALID_BIT, ContextType
from vmcoredd.cudbg.decoded import Bytes

_CONTEXT = struct.Struct(f"<II{CONTEXT_BYTES}s")
"""struct cudbg_ch_cntxt: type, number, data."""


class QueueState(NamedTuple):
    """Indices of a queue's context, in the context's own unit."""

    producer: int
    """How far what is to be done has been announced: by doorbells for egress queues and free
    lists, by the hardware for ingress queues."""
    consumer: int

    def waiting(self, size: int) -> range:
        """Returns the indices that are not consumed, of a queue of `size`; they may go past it."""
        if not 0 <= self.consumer < size or not 0 <= self.producer < size:
            return range(0)
        return range(self.consumer, self.consumer + (self.producer - self.consumer) % size)


def queue_states(
    contexts: Bytes | None, chip: Chip
) -> Mapping[tuple[ContextType, int], QueueState]:
    """Returns the state of each queue in use, from DUMP_CONTEXT's bytes, by table and number. Free
    lists are in the egress table."""
    found: dict[tuple[ContextType, int], QueueState] = {}
    data = b"" if contexts is None else bytes(contexts[0 : len(contexts)])
    whole = len(data) // _CONTEXT.size * _CONTEXT.size
    for kind, queue, context in _CONTEXT.iter_unpack(data[:whole]):
        number = int.from_bytes(context, "little")
        if kind in (ContextType.EGRESS, ContextType.INGRESS) and number >> VALID_BIT[kind] & 1:
            found[ContextType(kind), queue] = _state(ContextType(kind), number, chip)
    return found


def _state(kind: ContextType, number: int, chip: Chip) -> QueueState:
    free_list = kind == ContextType.EGRESS and bool(number >> FREE_LIST_BIT & 1)
    fields = {field.name: field for field in chip.sge.context_fields(kind, free_list=free_list)}
    return QueueState(fields["PIDX"].get(number), fields["CIDX"].get(number))
