"""QDESC: 32 MiB that are nearly all zeros; also the entries of a running driver's dump."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from carddump import collect, collected, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.sge import ContextType
from vmcoredd.cudbg.decoded import Fields, Text
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat

ENTITY = entities()["QDESC"]
HEAD = struct.Struct("<IHHII")
QUEUE = struct.Struct("<5I")
SIGNATURE = 0xCCEDB001


def blob(*queues: tuple[int, int, int, int], entry_size: int = 20) -> bytes:
    """Makes a blob of queues given as (type, id, bytes of a descriptor, descriptors)."""
    data = HEAD.pack(SIGNATURE, 1, 8, entry_size, len(queues))
    for kind, qid, size, count in queues:
        data += QUEUE.pack(size * count, kind, qid, size, count) + bytes(size * count)
    return data + bytes(64)


def test_qdesc_is_a_header_and_zeros_and_compresses_like_the_kernels() -> None:
    found = collected(T6)
    entity = found.entity("QDESC")
    raw = found.dump.blob("QDESC")
    assert len(raw) == 32 << 20
    assert HEAD.unpack(raw[0:16]) == (SIGNATURE, 1, 8, 20, 0)
    assert not any(raw[16 : 1 << 20])
    assert entity.size == 190_124
    assert entity.counts.total == 0


def test_uncompressed_qdesc_does_not_fit_after_another_entity() -> None:
    card = emu.Card.load("t62100-cr", strict=True)
    found = collect(card, "none", entities=("MBOX_LOG", "QDESC", "CCTRL"))
    entity = found.entity("QDESC")
    assert (entity.code, entity.sys_err, entity.sys_warn) == (-19, 0, -41)
    assert found.entity("CCTRL").good


def test_compression_never_holds_all_of_qdesc() -> None:
    card = emu.Card.load("t62100-cr", strict=True)
    collect(card, entities=("CCTRL",))  # loads everything that is loaded only once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0] + (32 << 20)  # the dump's own buffer
        collect(card, entities=("QDESC",))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 12 << 20


def test_queues_are_shown_with_their_types() -> None:
    shown = rows(ENTITY.decode(blob((1, 64, 64, 4), (23, 65, 8, 16), (99, 1, 8, 1)), T6), "queues")
    assert [list(row.values()) for row in shown] == [
        [16, 64, "NIC tx", 4, 64, 256, None, None, 4, None, ""],
        [292, 65, "Ethernet offload free list", 16, 8, 128, None, None, 2, None, ""],
        [440, 1, "type 99", 1, 8, 8, None, None, 1, None, ""],
    ]


def ring(kind: int, qid: int, size: int, data: bytes) -> bytes:
    """QDESC with one queue that holds `data`."""
    queue = QUEUE.pack(len(data), kind, qid, size, len(data) // size)
    return HEAD.pack(SIGNATURE, 1, 8, 20, 1) + queue + data


def messages(qdesc: bytes, contexts: bytes | None = None) -> list[dict[str, Any]]:
    others = {} if contexts is None else {"DUMP_CONTEXT": contexts}
    return rows(ENTITY.decode_with(qdesc, others, T6), "descriptors")


def context(kind: ContextType, queue: int, **values: int) -> bytes:
    """A record of DUMP_CONTEXT."""
    free_list = bool(values.get("QueueType"))
    fields = {field.name: field for field in T6.sge.context_fields(kind, free_list=free_list)}
    number = sum(fields[name].put(value) for name, value in values.items())
    return struct.pack("<II", kind, queue) + number.to_bytes(24, "little")


def packet(*, length: int, lso: bool = False, len16: int = 4) -> bytes:
    """A work request that sends a packet from Port 1, in as many descriptors as it takes."""
    head = struct.pack(">IIQ", 0x08 << 24, 0x80000000 | len16, 0)
    large = struct.pack(">IHHII", 0xED << 24, 0, 1448, 0, length) if lso else b""
    core = struct.pack(">IHHQ", 0xEE << 24 | 1 << 16, 0, length, 0)
    return (head + large + core).ljust(-(-len16 // 4) * 64, b"\1")


TP_SET = struct.pack(">IIQII", 0x05 << 24, 3, 0, 0x05 << 24 | 1234, 0).ljust(64, b"\0")


def test_work_requests_and_their_cpls_are_named() -> None:
    data = packet(length=1514) + packet(length=9000, lso=True, len16=6) + TP_SET
    found = [
        (r["slot"], r["is"], r["message"], r["detail"]) for r in messages(ring(1, 8, 64, data))
    ]
    assert found == [
        (0, "ETH_TX_PKT", "TX_PKT_XT", "64 bytes, TXPKT_INTF 1, packet of 1514 bytes"),
        (
            1,
            "ETH_TX_PKT",
            "TX_PKT_LSO TX_PKT_XT",
            "96 bytes, TXPKT_INTF 1, packet of 9000 bytes, MSS 1448",
        ),
        (3, "TP", "SET_TCB_FIELD", "48 bytes, TID 1234"),
    ]


def test_a_descriptor_that_begins_no_work_request_is_not_named() -> None:
    (row,) = messages(ring(1, 8, 64, b"\xff" * 64 + bytes(64)))
    assert (row["slot"], row["is"], row["detail"]) == (0, "", "the rest of another, or unknown")


def test_descriptors_between_consumer_and_producer_wait_even_around_the_end() -> None:
    data = TP_SET * 4
    state = context(ContextType.EGRESS, 8, Valid=1, QueueSize=5, PIDX=1, CIDX=3)
    shown = messages(ring(1, 8, 64, data), state)
    assert [(row["slot"], row["state"]) for row in shown] == [
        (3, "waits"),
        (0, "waits"),
        (1, "old"),
        (2, "old"),
    ]
    (queue,) = rows(ENTITY.decode_with(ring(1, 8, 64, data), {"DUMP_CONTEXT": state}, T6), "queues")
    assert (queue["PIDX"], queue["CIDX"], queue["waiting"]) == (1, 3, 2)


def test_a_work_request_that_waits_may_go_around_the_end() -> None:
    large = packet(length=9000, lso=True, len16=6)  # two descriptors
    data = large[64:] + bytes(128) + large[:64]
    state = context(ContextType.EGRESS, 8, Valid=1, QueueSize=5, PIDX=1, CIDX=3)
    (row,) = messages(ring(1, 8, 64, data), state)
    assert (row["slot"], row["state"], row["message"]) == (3, "waits", "TX_PKT_LSO TX_PKT_XT")


@pytest.mark.parametrize(
    "fields",
    [
        {"QueueSize": 5, "PIDX": 4, "CIDX": 0},
        {"QueueSize": 5, "PIDX": 0, "CIDX": 9},
        {"QueueSize": 9, "PIDX": 1, "CIDX": 0},
        {"QueueSize": 0, "PIDX": 0, "CIDX": 0},
    ],
)
def test_a_context_that_does_not_fit_a_queue_tells_nothing_of_it(fields: dict[str, int]) -> None:
    state, qdesc = context(ContextType.EGRESS, 8, Valid=1, **fields), ring(1, 8, 64, TP_SET * 4)
    misfit = "the context does not fit this queue"
    assert {row["state"] for row in messages(qdesc, state)} == {misfit}
    (queue,) = rows(ENTITY.decode_with(qdesc, {"DUMP_CONTEXT": state}, T6), "queues")
    assert (queue["ring"], queue["waiting"], queue["remark"]) == (4, None, misfit)


def test_a_ring_has_the_same_size_in_dump_context() -> None:
    state = context(ContextType.EGRESS, 6, Valid=1, QueueType=1, QueueSize=10, PIDX=1, CIDX=7)
    state += context(ContextType.INGRESS, 5, Queue_Valid=1, QueueSize=2, PIDX=3, CIDX=30)
    shown = entities()["DUMP_CONTEXT"].decode(state, T6)
    for kind, qid, size, count, found in ((3, 6, 8, 72, (9, 3)), (2, 5, 64, 31, (31, 4))):
        title = "ingress contexts" if kind == 2 else "egress contexts"
        (context_row,) = rows(shown, title)
        others = {"DUMP_CONTEXT": state}
        qdesc = ring(kind, qid, size, bytes(count * size))
        (row,) = rows(ENTITY.decode_with(qdesc, others, T6), "queues")
        assert (row["ring"], row["waiting"]) == found
        assert (context_row["ring"], context_row["pending"]) == found


def entry(opcode: int, kind: int, low: int = 0, *, generation: int = 1, told: int = 0) -> bytes:
    """An entry of an ingress queue."""
    body = struct.pack(">BBHIQ", opcode, 0, 0, 0, told).ljust(48, b"\0")
    return body + struct.pack(">IIB7x", 0, low, generation << 7 | kind << 4)


def test_entries_of_an_ingress_queue_are_named_by_their_cpl() -> None:
    data = (
        entry(0x3B, 0, 1 << 31 | 1514)
        + entry(0xA5, 1, told=(0xA5 << 24 | 40) << 32 | 17 << 16)
        + entry(0, 2, 77, generation=0)
        + bytes(12 * 64)
    )
    state = context(ContextType.INGRESS, 5, Queue_Valid=1, QueueSize=1, PIDX=3, CIDX=1)
    shown = messages(ring(2, 5, 64, data), state)
    assert [(row["state"], row["is"], row["message"], row["detail"]) for row in shown] == [
        ("old", "FLBUF", "RX_PKT", "generation 1, 1514 bytes in a new buffer"),
        ("waits", "CPL", "SGE_EGR_UPDATE", "generation 1, egress queue 40: CIDX 17"),
        ("waits", "INTR", "", "generation 0, of queue 77"),
    ]


def test_a_free_lists_buffers_wait_eight_at_a_time() -> None:
    data = b"".join(struct.pack(">Q", 0x12340000 + 4096 * i | 2) for i in range(16))
    state = context(ContextType.EGRESS, 6, Valid=1, QueueType=1, QueueSize=3, PIDX=1, CIDX=0)
    shown = messages(ring(3, 6, 8, data), state)
    assert [row["state"] for row in shown] == ["waits"] * 8 + ["old"] * 8
    assert shown[1]["detail"] == "address 0x12341000, SGE_FL_BUFFER_SIZE2"


@pytest.mark.parametrize(
    ("chip", "offset", "word", "shown"),
    [
        (T5, 0x10A4, 5, {"LP_Count": 5, "FL_Count": 0, "HP_Count": 0}),
        (T5, 0x1118, 3 << 14 | 7, {"LP_Count": 0, "FL_Count": 3, "HP_Count": 7}),
        (T6, 0x10A4, 9 << 15, {"vfifo_cnt": 9, "coal_ctl_fifo_cnt": 0, "merge_fifo_cnt": 0}),
    ],
)
def test_doorbells_that_wait_in_the_card_are_counted(
    chip: Chip, offset: int, word: int, shown: dict[str, int]
) -> None:
    registers = bytearray(332 * 1024)
    registers[offset : offset + 4] = word.to_bytes(4, "little")
    others = {"REG_DUMP": bytes(registers)}
    decoded = ENTITY.decode_with(ring(1, 8, 64, TP_SET), others, chip)
    found = next(part for part in decoded if part.title.startswith("doorbells"))
    assert isinstance(found, Fields)
    assert {item.name: item.value for item in found.items} == shown
    empty = ENTITY.decode_with(HEAD.pack(SIGNATURE, 1, 8, 20, 0), others, chip)
    assert not [part for part in empty if part.title.startswith("doorbells")]


def test_without_contexts_the_screen_says_that_the_state_is_unknown() -> None:
    qdesc = ring(1, 8, 64, TP_SET)
    text = next(part for part in ENTITY.decode(qdesc, T6) if isinstance(part, Text))
    assert "DUMP_CONTEXT is not in the dump" in " ".join(text.lines)
    (row,) = messages(qdesc)
    assert row["state"] == ""


@settings(max_examples=60)
@given(st.sampled_from([1, 2, 3, 0]), st.binary(min_size=192, max_size=512), st.binary(max_size=32))
def test_no_descriptor_is_refused(kind: int, data: bytes, state: bytes) -> None:
    size = 8 if kind == 3 else 64
    whole = data[: len(data) // size * size]
    record = struct.pack("<II", 0, 8) + state[:24].ljust(24, b"\xff")
    assert len(messages(ring(kind, 8, size, whole), record)) <= len(whole) // size


@pytest.mark.parametrize("end", [17, 35, 100])
def test_queues_that_end_too_early_are_refused(end: int) -> None:
    with pytest.raises(DumpFormatError, match="QDESC: queue at 0x10: need"):
        rows(ENTITY.decode(blob((1, 64, 64, 4))[:end], T6), "queues")


def test_a_header_of_a_queue_that_is_too_small_is_refused() -> None:
    with pytest.raises(DumpFormatError, match="QDESC: header of a queue: need 20 bytes, have 0"):
        ENTITY.decode(blob(entry_size=0), T6)


def test_another_signature_is_refused() -> None:
    with pytest.raises(UnknownFormat, match="QDESC: signature 0x0"):
        ENTITY.decode(bytes(16), T6)
