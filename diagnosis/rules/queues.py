"""What lay in the queues: work that the card had not done, entries that the host had not taken,
and free lists that had run low.

All of it is normal in a machine that panicked under load: only a list that ran empty while the host
still read is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmcoredd.chip.messages import POINTERS_PER_INDEX
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import NOTE, WARNING, Evidence
from vmcoredd.diagnosis.queues import (
    EGRESS,
    FREE_LIST,
    INGRESS,
    Queue,
    amounts,
    is_packing,
    queues,
    share,
)
from vmcoredd.diagnosis.rule import Hit, rule
from vmcoredd.diagnosis.rules.back_pressure import waiting
from vmcoredd.plural import counted

_UNDER_LOAD = "nothing, if the machine panicked under load; else "


@rule(
    "sge-free-list-empty",
    WARNING,
    "free list {queue} has no buffer left: its producer index has met its consumer index",
    to_do="look whether the host was out of memory, and whether the driver still refilled it",
    source="sge.c: __refill_fl()",
    explains="sge-idma-stuck mps-drops tp-drops receive-blocked",
)
def free_list_empty(card: Card) -> Iterator[Hit]:
    for queue in queues(card, FREE_LIST):
        if not queue.pending and not _ran_empty_after(card, queue):
            yield Hit(queue.evidence(), {"queue": queue.number})


def _ran_empty_after(card: Card, queue: Queue) -> bool:
    """Whether a free list may have run empty only after the panic, when nobody refilled it: a crash
    kernel made the dump, and the list's channel has entries of which the host was told, but did not
    take them."""
    return card.driver_state.had_attached is False and any(
        other.pending and not other.is_armed and other.channel == queue.channel
        for other in queues(card, INGRESS)
    )


@rule(
    "sge-transmit-waits",
    NOTE,
    "the SGE had not finished the work of {share}, {total} in all: {amounts}",
    to_do=_UNDER_LOAD + "compare PIDX in DUMP_CONTEXT with `pidx` of the driver's struct sge_txq, "
    "which the vmcore's memory has (crash, drgn)",
    source="cxgb4_main.c: sync_txq_pidx()",
)
def transmit_waits(card: Card) -> Iterator[Hit]:
    every = queues(card, EGRESS)
    if busy := [queue for queue in every if queue.pending]:
        yield Hit(
            _evidence(busy),
            _values(busy, every, "descriptor"),
            preface="the way to send is blocked: " * _is_blocked(card),
        )


def _is_blocked(card: Card) -> bool:
    """Whether data to send wait in more than one place."""
    return any(len(hit.evidence) > 1 for hit in waiting(card, "send"))


@rule(
    "sge-entries-unread",
    NOTE,
    "the host had not taken the entries of {share}, {total} in all: {amounts}",
    to_do=_UNDER_LOAD + "look at the interrupts: a queue that is not armed has raised its own, or "
    "the host was polling it; InterruptIDX is its MSI-X vector, unless it is forwarded",
    source="sge.c: process_responses(), napi_rx_handler()",
)
def entries_unread(card: Card) -> Iterator[Hit]:
    every = queues(card, INGRESS)
    if busy := [queue for queue in every if queue.pending]:
        evidence = _evidence(busy, "InterruptArmed", "InterruptIDX")
        yield Hit(evidence, _values(busy, every, "entry"))


@rule(
    "sge-free-list-low",
    NOTE,
    "{share} had few buffers left or none: {amounts}",
    to_do=_UNDER_LOAD + "look whether the host was short of memory: a host that has panicked "
    "refills no list",
    source="sge.c: fl_starving(), t4_sge_init()",
)
def free_list_low(card: Card) -> Iterator[Hit]:
    every = queues(card, FREE_LIST)
    if low := [queue for queue in reversed(every) if _is_low(card, queue)]:
        values = {"share": share(low, every), "amounts": amounts(low, _buffers)}
        yield Hit(_evidence(low), values)


def _is_low(card: Card, queue: Queue) -> bool:
    if not queue.pending:
        return _ran_empty_after(card, queue)
    return queue.buffers <= _few(card, queue) and not queue.is_full


def _few(card: Card, queue: Queue) -> int:
    """Returns how many buffers are few: as many as the driver takes for too few, but no less than
    an index stands for."""
    packs = is_packing(card, queue)
    if packs is None:
        return POINTERS_PER_INDEX
    threshold = card.word("SGE_CONM_CTRL").get("EgrThresholdPacking" if packs else "EgrThreshold")
    return max(POINTERS_PER_INDEX, 2 * threshold + 1)  # it counts pairs


def _buffers(queue: Queue) -> str:
    return f"at most {queue.buffers:,}" if queue.pending else "none"


def _values(busy: Sequence[Queue], every: Sequence[Queue], noun: str) -> dict[str, str]:
    """Returns what a rule says of queues that are busy."""
    return {
        "share": share(busy, every),
        "total": counted(sum(queue.pending for queue in busy), noun),
        "amounts": amounts(busy, lambda queue: f"{queue.pending:,}"),
    }


def _evidence(some: Sequence[Queue], *more: str) -> tuple[Evidence, ...]:
    return tuple(one for queue in some for one in queue.evidence(*more))
