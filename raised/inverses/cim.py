"""CIM: the embedded processor's queues, logic analysers and page tables."""

from __future__ import annotations

from vmcoredd.chip.cim import (
    INBOUND,
    INBOUND_WORDS,
    LA_READS,
    OUTBOUND,
    PBT_TABLES,
    QUEUE_UNIT_BYTES,
    THRESHOLD_UNIT,
    Queue,
)
from vmcoredd.chip.layout import WORD_BYTES, u32s
from vmcoredd.cudbg.entities.cim_la import (
    MA_POINTERS,
    PifLayout,
    la_requests,
    pif_pointers,
    pointer_rows,
)
from vmcoredd.cudbg.entities.cim_queues import InboundQueue, OutboundQueue, QueueLayout
from vmcoredd.cudbg.entity import entities
from vmcoredd.raised.raising import Raising, fitted, inverse
from vmcoredd.raised.reading import bytes_of, left_of, parsed


def _words(blob: bytes) -> tuple[int, ...]:
    return u32s(blob[: len(blob) // WORD_BYTES * WORD_BYTES])


# Queues


@inverse("CIM_QCFG")
def queue_configuration(on: Raising, blob: bytes) -> None:
    """Stores each queue's place, size and threshold, and the pointers that cudbg reads."""
    layout, ctrl = parsed(QueueLayout, blob), on.r.CIM_QUEUE_CONFIG_CTRL
    for i, queue in enumerate((*INBOUND, *OUTBOUND)):
        fields = {
            "QueBase": layout.base[i] // QUEUE_UNIT_BYTES,
            "QueSize": layout.size[i] // QUEUE_UNIT_BYTES,
        }
        if not queue.outbound:
            fields["QueFullThrsh"] = layout.thres[i] // THRESHOLD_UNIT
        word = sum(fitted(ctrl.field(name), value) for name, value in fields.items())
        on.store("cim_queue_config", _select(on, queue), word)
    for register, words in (
        (on.r.UP_IBQ_0_RDADDR, layout.stat),
        (on.r.UP_OBQ_0_REALADDR, layout.obq_wr),
    ):
        space, first = on.spaces.where(register)
        on.fill(space.name, first, words)


def _select(on: Raising, queue: Queue) -> int:
    """Returns the number that selects a queue, which is its row in the card's table."""
    return on.r.CIM_QUEUE_CONFIG_REF.of(QueNumSelect=queue.number, **{queue.select: 1})


def inbound(on: Raising, blob: bytes, number: int) -> None:
    """Stores the memory of an inbound queue."""
    on.copy("cim_ibq", number * INBOUND_WORDS, blob)


def outbound(on: Raising, blob: bytes, number: int) -> None:
    """Stores the memory of an outbound queue where CIM_QCFG says that it is, and its size."""
    ctrl, row = on.r.CIM_QUEUE_CONFIG_CTRL, _select(on, OUTBOUND[number])
    if left := left_of(on.dump, "CIM_QCFG"):
        queue_configuration(on, bytes_of(left))
    word = on.spaces.space("cim_queue_config").words[row]
    on.copy("cim_obq", ctrl.get(word, "QueBase") * QUEUE_UNIT_BYTES // WORD_BYTES, blob)
    size = ctrl.field("QueSize")
    word = word & ~size.mask | fitted(size, len(blob) // QUEUE_UNIT_BYTES)
    on.store("cim_queue_config", row, word)


for _name, _entity in entities().items():
    if isinstance(_entity, InboundQueue):
        inverse(_name)(lambda on, blob, number=_entity.queue: inbound(on, blob, number))  # type: ignore[misc]
    elif isinstance(_entity, OutboundQueue):
        inverse(_name)(lambda on, blob, number=_entity.queue: outbound(on, blob, number))  # type: ignore[misc]


@inverse("PBT_TABLE")
def page_tables(on: Raising, blob: bytes) -> None:
    """Stores the tables in the processor's address space, one after the other."""
    space = on.spaces.space("cim")
    for table in PBT_TABLES:
        size = WORD_BYTES * table.words
        on.copy(space.name, space.index(table.address), blob[:size])
        blob = blob[size:]


# Logic analysers


@inverse("CIM_LA")
def processor_trace(on: Raising, blob: bytes) -> None:
    """Stores the configuration, and the words in the order in which the collector asks for them."""
    config = on.r.UP_UP_DBG_LA_CFG
    word, *trace = _words(blob[: WORD_BYTES * (1 + LA_READS)])
    on.set(config, word)
    command, pointer = on.command(config), config.mask("UpDbgLaWrPtr")
    command.set = command.set & ~pointer | word & pointer
    field = config.field("UpDbgLaRdPtr")
    requests = la_requests(on.chip, config.get(word, "UpDbgLaWrPtr"))
    for request, value in zip(requests, trace, strict=False):
        on.store("cim_la", field.get(request), value)


def _interfaces(
    on: Raising, out: str, out_words: list[int], in_: str, in_words: list[int], rows: list[int]
) -> None:
    config = on.r.CIM_DEBUGCFG
    for table, name, words in ((out, "POLADbgRdPtr", out_words), (in_, "PILADbgRdPtr", in_words)):
        field = config.field(name)
        for row, word in zip(rows, words, strict=False):
            on.store(table, field.get(row), word)


@inverse("CIM_MA_LA")
def memory_interface_traces(on: Raising, blob: bytes) -> None:
    """Stores the requests, and those responses that the driver does not overwrite."""
    words, rows = list(_words(blob)), pointer_rows(on.chip, MA_POINTERS, MA_POINTERS)
    count = len(MA_POINTERS)
    _interfaces(on, "cim_po_la_ma", words[:count], "cim_pi_la_ma", [], rows)
    lost = count - count // WORD_BYTES
    responses = words[count : count + count - lost]
    _interfaces(on, "cim_po_la_ma", [], "cim_pi_la_ma", responses, rows[lost:])


@inverse("CIM_PIF_LA")
def interface_traces(on: Raising, blob: bytes) -> None:
    """Stores both traces, from the pointers in CIM_DEBUGSTS on."""
    layout, status = parsed(PifLayout, blob), on.r.CIM_DEBUGSTS
    word = on.get(status)
    out, in_ = (pif_pointers(status.get(word, name)) for name in ("POLADbgWrPtr", "PILADbgWrPtr"))
    rows = pointer_rows(on.chip, out, in_)
    _interfaces(on, "cim_po_la", list(layout.req), "cim_pi_la", list(layout.rsp), rows)
