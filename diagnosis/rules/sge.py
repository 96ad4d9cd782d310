"""SGE: queues, doorbells, and the engines that move data to and from the host."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import T6
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.core_clock import CoreClock
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule
from vmcoredd.plural import counted

_HANDLER = "t4_hw.c: sge_intr_handler()"
_UNREAD = "reg_defs (Linux does not read it)"
_REPLACE = "reset the card; replace it if it happens again"
_QUEUE = (
    "SGE_ERROR_STATS has the queue's id, if Error_QID_Valid is set: look at its context in "
    "DUMP_CONTEXT"
)
_HOSTS = (
    "compare PIDX in DUMP_CONTEXT with `pidx` of the driver's struct sge_txq or sge_fl, which the "
    "vmcore's memory has (crash, drgn)"
)
"""The dump has no index of the host's: neither QDESC nor any other entity."""
_STUCK = "sge-idma-stuck sge-queue-in-error receive-blocked send-blocked"

for _cause, _bits in (("SGE_INT_CAUSE1", 0xFFFFFFFF), ("SGE_INT_CAUSE2", 0xFFFFFFFF)):
    causes(
        _cause,
        Bits(
            f"sge-parity-{_cause[-1]}",
            FATAL,
            _bits,
            "a memory or FIFO of the SGE had a parity error ({register})",
            _REPLACE,
            explains=f"{_STUCK} sge-context-busy {READ_THROUGH['SGE_CTXT_CMD']}",
            parity=True,
        ),
        source=_HANDLER,
        complete=True,
    )

causes(
    "SGE_INT_CAUSE5",
    Bits(
        "sge-receive-crc",
        NOTE,
        "err_T_RxCRC",
        "a frame with a wrong checksum came in; no fault of the SGE's, and Linux ignores it",
        "look at the port's error counters",
    ),
    Bits(
        "sge-parity-5",
        FATAL,
        "perr_*",
        "data on their way through the SGE had a parity error",
        _REPLACE,
        explains=_STUCK,
        parity=True,
    ),
    source=_HANDLER,
    complete=True,
)

causes(
    "SGE_INT_CAUSE3",
    Bits(
        "sge-message-too-big",
        FATAL,
        "err_cpl_exceed_iqe_size",
        "a message was larger than the entries of its ingress queue",
        "look at how the driver set the queue up; " + _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
    ),
    Bits(
        "sge-bad-cidx",
        ERROR,
        "err_invalid_cidx_inc",
        "the increment of an ingress queue's consumer index was too large (SGE GTS)",
        "a fault of the driver's; " + _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
    ),
    Bits(
        "sge-bad-pidx",
        ERROR,
        "err_bad_db_pidx*",
        "the increment of a producer index in a doorbell was too large",
        "a fault of the driver's; " + _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
    ),
    Bits(
        "sge-illegal-egress-queue",
        ERROR,
        "egress_size_err",
        "the SGE met an illegal egress queue id",
        "a fault of the driver's; " + _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
    ),
    Bits(
        "sge-illegal-ingress-queue",
        ERROR,
        "ingress_size_err",
        "the SGE met an illegal ingress queue id",
        "look at RSS and the filters, which name queues; " + _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
    ),
    Bits(
        "sge-empty-message",
        ERROR,
        "err_cpl_opcode_0",
        "the SGE received a CPL (a message between blocks) of length 0",
        "look for errors of TP and MPS; update the firmware",
        explains=_STUCK,
    ),
    Bits(
        "sge-message-for-free-list",
        ERROR,
        "err_data_cpl_on_high_qid*",
        "a CPL (a message between blocks) for a free list came for an ingress queue id above 1023",
        "look at RSS and the filters, which name queues",
        explains=_STUCK,
    ),
    Bits(
        "sge-too-many-priority-contexts",
        ERROR,
        "err_ing_ctxt_prio err_egr_ctxt_prio",
        "more queues have priority than the SGE can keep",
        "look at how the driver set its queues up",
    ),
    Bits(
        "sge-doorbell-dropped",
        ERROR,
        "err_dropped_db",
        "the SGE dropped doorbells: queues may wait for work that the host has announced",
        _HOSTS,
        explains=_STUCK,
        polled=True,
    ),
    Bits(
        "sge-doorbell-fifo-full",
        WARNING,
        "dbfifo_hp_int dbfifo_lp_int dbp_tbuf_full",
        "the FIFO of doorbells filled up to its threshold",
        "the driver should have rung more slowly; look for dropped doorbells",
        explains="sge-doorbell-dropped sge-idma-stuck",
        shows="SGE_DBFIFO_STATUS",
        polled=True,
    ),
    Bits(
        "sge-work-request-length",
        ERROR,
        "fatal_wre_len",
        "a work request had an illegal length; Linux takes this bit of a T6 for T5's full FIFO of "
        "doorbells",
        _QUEUE,
        explains=_STUCK,
        shows="SGE_ERROR_STATS",
        chips=(T6,),
    ),
    Bits(
        "sge-pcie-error",
        ERROR,
        "err_pcie_error*",
        "PCIe reported an error for an access of the SGE's; Linux does not look at these bits",
        "look at AER, the IOMMU's log and the slot",
        explains=_STUCK,
    ),
    Bits(
        "sge-illegal-use",
        ERROR,
        "err_flm_* err_timer_above_max_qid err_inv_ctxt* reg_address_err err_ing_pcie_chan",
        "the SGE met a queue id, context or address that is not valid; Linux does not look at "
        "these bits",
        _QUEUE,
        explains=_STUCK,
    ),
    source=_HANDLER,
)

_DETAILS = "look at the driver's queues; the field's name says which request was wrong"
causes(
    "SGE_INT_CAUSE4",
    Bits(
        "sge-bad-request",
        ERROR,
        "bar2_* err_cpl_* err_wr_* err_large_* coal_* err_rx_* err_bad_* err_phys* err_flm_* "
        "flm_pc_rsp_err",
        "a work request, a doorbell in BAR2 or a free list's entry was wrong",
        _DETAILS,
        explains=_STUCK,
    ),
    source=_UNREAD,
)
causes(
    "SGE_INT_CAUSE6",
    Bits(
        "sge-fatal-state",
        ERROR,
        "fatal_*",
        "the SGE got into a state that it cannot leave",
        _REPLACE,
        explains=_STUCK,
    ),
    Bits(
        "sge-bad-request-6",
        ERROR,
        "err_* pl_bar2_frm_err",
        "a work request, a doorbell or a response of PCIe's was wrong",
        _DETAILS,
        explains=_STUCK,
    ),
    source=_UNREAD,
)


@rule(
    "sge-queue-in-error",
    WARNING,
    "the SGE keeps the id of a queue with an error: {queue}",
    to_do="look at the queue's context in DUMP_CONTEXT, if Error_QID_Valid is set",
    source=_HANDLER,
)
def queue_in_error(card: Card) -> Iterator[Hit]:
    word = card.word("SGE_ERROR_STATS")
    fields = ("Error_QID_Valid", "Error_QID", "Uncaptured_Error")
    if word.get("Error_QID_Valid") or word.get("Uncaptured_Error"):
        evidence = Evidence.of(word, *(field for field in fields if word.get(field)))
        yield Hit(evidence, {"queue": word.get("Error_QID")})


_IDLE = ("IDLE", "ALMOST_IDLE")
_PEGGED = U32_MASK
"""Where the counters stop."""
_SECOND_MOST = 600_000_000
"""Ticks that make at least a second on every card: 600 MHz is the fastest core clock that Linux's
driver speaks of (t4_idma_monitor_init())."""


def _second(clock: CoreClock) -> int:
    """Returns the ticks that make at least a second."""
    return _SECOND_MOST if clock.is_unknown else 1000 * clock.khz


def _for_how_long(ticks: int, clock: CoreClock) -> str:
    """Returns a number of ticks of the core clock as a time, if the dump tells the clock."""
    least = "at least " * (ticks == _PEGGED)
    if clock.is_unknown:
        return f"{least}{counted(ticks, 'tick')} of the core clock, which the dump does not tell,"
    return f"{least}{ticks / (1000 * clock.khz):.1f} s"


def _told_by(clock: CoreClock) -> tuple[Evidence, ...]:
    """Returns what tells the clock."""
    if clock.is_unknown:
        return ()
    if clock.is_preset and clock.told:
        record = f"record {clock.told.seqno}"
        return (Evidence("DEV_LOG", f"{clock.khz:,} kHz", instance=record, field="core clock"),)
    return (Evidence("CLK", f"{clock.khz:,} kHz", field="core clock"),)


_ENGINES = (
    ("SGE_DEBUG_DATA_HIGH_INDEX_13", 0, 0),
    ("SGE_DEBUG_DATA_LOW_INDEX_13", 9, 16),
)
"""For each ingress DMA engine its counter, and the lowest bits of its state and its queue."""
_STATE, _STATE_MASK = "SGE_DEBUG_DATA_LOW_INDEX_0", 0x3F
_QUEUES, _QUEUE_MASK = "SGE_DEBUG_DATA_LOW_INDEX_11", 0xFFFF


@rule(
    "sge-idma-stuck",
    ERROR,
    "ingress DMA engine {engine} did not move for {time} in state {state}, with ingress "
    "queue {queue}",
    to_do="look at that queue's context and free list, and at PCIe",
    source="t4_hw.c: t4_idma_monitor()",
    explains="mps-drops tp-drops receive-blocked",
)
def stuck(card: Card) -> Iterator[Hit]:
    for engine, (counter, state_at, queue_at) in enumerate(_ENGINES):
        with card.in_part():
            count = card.word(counter)
            if not count.value or count.value < _second(clock := card.core_clock):
                continue
            state, queues = card.word(_STATE), card.word(_QUEUES)
            name = _state_name(card, state.value >> state_at & _STATE_MASK)
            if name not in _IDLE:
                where = queues.value >> queue_at & _QUEUE_MASK
                time = _for_how_long(count.value, clock)
                values = {"engine": engine, "state": name, "queue": where, "time": time}
                evidence = Evidence.each((count, state, queues)) + _told_by(clock)
                yield Hit(evidence, values)


def _state_name(card: Card, number: int) -> str:
    names = card.chip.sge.idma_states
    return names[number] if number < len(names) else f"{number} (unknown)"


def _busy(word: Word, field: str) -> Iterator[Hit]:
    if word.get(field):
        yield Hit(Evidence.of(word, field), {"register": word.name})


@rule(
    "sge-context-busy",
    ERROR,
    "the SGE never finished the last request for a queue's context",
    to_do="the SGE hangs: look for its parity errors; reset the card",
    source="t4_hw.c: t4_sge_ctxt_rd_bd()",
    explains=READ_THROUGH["SGE_CTXT_CMD"],
)
def context_busy(card: Card) -> Iterator[Hit]:
    yield from _busy(card.word("SGE_CTXT_CMD"), "Busy")


@rule(
    "sge-without-context-memory",
    ERROR,
    "the SGE was given no memory for the contexts of queues",
    to_do="look whether the memories are switched on, and at the configuration file in the flash",
    source="cudbg_lib.c: cudbg_get_sge_ctxt_fw(), SGE_DBQ_CTXT_BADDR",
    explains=READ_THROUGH["SGE_CTXT_CMD"],
)
def no_context_memory(card: Card) -> Iterator[Hit]:
    words = [card.word("SGE_DBQ_CTXT_BADDR"), card.word("SGE_IMSG_CTXT_BADDR")]
    if not any(word.value for word in words):
        yield Hit(Evidence.each(words))
