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
    packing,
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
    if empty := [queue for queue in queues(card, FREE_LIST) if not queue.pending]:
        excused = _unserved(card)
        for queue in empty:
            if queue.channel not in excused:
                yield Hit(queue.evidence(), {"queue": queue.number})


def _unserved(card: Card) -> set[int]:
    """Returns the channels whose free lists may have run empty only after the panic, when nobody
    refilled them: a crash kernel made the dump, and there are entries of which the host was told,
    but that it did not take."""
    if card.driver_state.had_attached is not False:
        return set()
    unread = (queue for queue in queues(card, INGRESS) if queue.pending and not queue.is_armed)
    return {queue.channel for queue in unread}


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
    """Returns whether data to send wait in more than one place."""
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
    every, excused = queues(card, FREE_LIST), _unserved(card)
    packs, few = packing(card), _few(card)
    low = [
        queue
        for queue in reversed(every)
        if (queue.buffers <= few[packs.get(queue.number)] and not queue.is_full)
        and (queue.pending or queue.channel in excused)
    ]
    if low:
        values = {"share": share(low, every), "amounts": amounts(low, _buffers)}
        yield Hit(_evidence(low), values)


def _few(card: Card) -> dict[bool | None, int]:
    """Returns how many buffers are few in a list that packs, in one that does not, and in one of
    which that is not known: as many as the driver takes for too few, but no less than an index
    stands for."""
    word, few = card.word("SGE_CONM_CTRL"), POINTERS_PER_INDEX
    packs, packs_not = (
        max(few, 2 * word.get(field) + 1) for field in ("EgrThresholdPacking", "EgrThreshold")
    )  # which count pairs
    return {True: packs, False: packs_not, None: few}


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
