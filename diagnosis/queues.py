"""The queues in use, as their contexts in DUMP_CONTEXT show them: how much of each ring waits.

The table of egress contexts has free lists too. A context whose indices do not fit its size, or
whose ring could hold nothing, says nothing, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vmcoredd.chip.messages import POINTERS_PER_INDEX
from vmcoredd.cudbg.decoded import Value
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import Evidence
from vmcoredd.plural import counted

EGRESS, INGRESS, FREE_LIST = "egress", "ingress", "free list"
BUSY = ("sge-transmit-waits", "sge-entries-unread", "sge-free-list-low")
"""Rules that say what a card was busy with."""
_CONTEXTS = "DUMP_CONTEXT"
_TABLES = {EGRESS: "egress", FREE_LIST: "egress", INGRESS: "ingress"}
_CHANNEL = {EGRESS: "PCIeDataChannel", FREE_LIST: "PCIeDataChannel", INGRESS: "PCIeChannel"}
_NOUNS = {EGRESS: "egress queue", INGRESS: "ingress queue", FREE_LIST: "free list"}
_NAMED_MOST = 4


@dataclass(frozen=True)
class Queue:
    """A queue whose context is possible."""

    kind: str
    """EGRESS, INGRESS or FREE_LIST."""
    number: int
    channel: int
    """Of PCIe; drivers give a port's queues the port's own."""
    pending: int
    """What the reader has not consumed: descriptors, entries, or units of buffers that the card
    can still take."""
    ring: int
    """How many values its indices take."""
    row: Mapping[str, Value]

    @property
    def is_full(self) -> bool:
        """Whether the ring takes no more."""
        return self.pending == self.ring - 1

    @property
    def is_armed(self) -> bool:
        """Whether an ingress queue's interrupt is armed: the host waits for it."""
        return bool(self.row["InterruptArmed"])

    @property
    def buffers(self) -> int:
        """The buffers that a free list has at most: some of the first unit may be used up."""
        return self.pending * POINTERS_PER_INDEX

    def evidence(self, *more: str) -> tuple[Evidence, ...]:
        """Returns the indices, the channel, and more fields of the context."""
        place = f"{_NOUNS[self.kind]} {self.number}"
        values = {name: self.row[name] for name in ("PIDX", "CIDX", *more)}
        values[_CHANNEL[self.kind]] = self.channel
        return tuple(
            Evidence(_CONTEXTS, int(str(value)), instance=place, field=name)
            for name, value in values.items()
        )


def queues(card: Card, kind: str) -> list[Queue]:
    """Returns the queues in use of a kind, those with most pending first; raises NotJudged."""
    found = [
        _queue(kind, row)
        for row in card.rows(_CONTEXTS, f"{_TABLES[kind]} contexts")
        if row["kind"] == kind and row["pending"] is not None and row["ring"] != 1
    ]
    return sorted(found, key=lambda queue: (-queue.pending, queue.number))


def _queue(kind: str, row: Mapping[str, Value]) -> Queue:
    number, channel, pending, ring = (
        int(str(row[name])) for name in ("queue", "channel", "pending", "ring")
    )
    return Queue(kind, number, channel, pending, ring, row)


def packing(card: Card) -> dict[int, bool]:
    """Returns whether the buffers of each free list take several packets, by its number."""
    contexts = card.rows(_CONTEXTS, "free list contexts")
    return {int(str(row["EQid"])): bool(row["PackEn"]) for row in contexts}


def share(some: Sequence[Queue], all_of: Sequence[Queue]) -> str:
    """Returns how many of all queues of a kind `some` are: `3 of 11 egress queues`."""
    return f"{len(some)} of {counted(len(all_of), _NOUNS[all_of[0].kind])}"


def amounts(some: Sequence[Queue], amount: Callable[[Queue], str]) -> str:
    """Returns how much waits in the first queues, and how many more there are: `6 in queue 76
    (channel 1), 3 in queue 80 (channel 0)`."""
    named = [f"{amount(queue)} in {_title(queue)}" for queue in some[:_NAMED_MOST]]
    rest = len(some) - len(named)
    more = f", and {counted(rest, f'more {_short(some[0])}')}" if rest else ""
    return ", ".join(named) + more


def _short(queue: Queue) -> str:
    return _NOUNS[queue.kind].split()[-1]


def _title(queue: Queue) -> str:
    remarks = [f"channel {queue.channel}"]
    remarks += ["full"] * (queue.is_full and queue.kind != FREE_LIST)
    remarks += ["not armed"] * (queue.kind == INGRESS and not queue.is_armed)
    return f"{_short(queue)} {queue.number} ({', '.join(remarks)})"
