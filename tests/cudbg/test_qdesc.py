"""QDESC: 32 MiB that are nearly all zeros; also the entries of a running driver's dump."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from carddump import collect, collected, rows

from vmcoredd import emu
from vmcoredd.chip import T6
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
    table = list(ENTITY.decode(blob((1, 64, 64, 4), (23, 65, 8, 16), (99, 1, 8, 1)), T6))[1]
    assert [list(row) for row in table.rows] == [
        [16, 64, "NIC tx", 4, 64, 256],
        [292, 65, "Ethernet offload free list", 16, 8, 128],
        [440, 1, "type 99", 1, 8, 8],
    ]


@pytest.mark.parametrize("end", [17, 35, 100])
def test_queues_that_end_too_early_are_refused(end: int) -> None:
    with pytest.raises(DumpFormatError, match="QDESC: queue at 0x10: need"):
        rows(ENTITY.decode(blob((1, 64, 64, 4))[:end], T6))


def test_a_header_of_a_queue_that_is_too_small_is_refused() -> None:
    with pytest.raises(DumpFormatError, match="QDESC: header of a queue: need 20 bytes, have 0"):
        ENTITY.decode(blob(entry_size=0), T6)


def test_another_signature_is_refused() -> None:
    with pytest.raises(UnknownFormat, match="QDESC: signature 0x0"):
        ENTITY.decode(bytes(16), T6)
