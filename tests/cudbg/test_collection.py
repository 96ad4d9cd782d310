"""The collection loop: order, padding, rewinding, statuses and limits, with small test entities."""

from __future__ import annotations

import errno
import hashlib
import mmap
import resource
import struct
import threading
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ramcard import RamCard

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg import collection as loop
from vmcoredd.cudbg import dump_writer
from vmcoredd.cudbg.container import HEADERS_BYTES, PIECE_BYTES
from vmcoredd.cudbg.entity import Context, Entity, entities
from vmcoredd.cudbg.errors import Code, Status
from vmcoredd.hw.errors import AdapterGone, DeadDevice, DeviceError
from vmcoredd.hw.io import Io, Read

DEVICE = cudbg.Device(T6, 0)
NUMBERS = {name: entity.number for name, entity in entities().items()}
ENTITY_HEADER = struct.Struct("<IIIiIIBB2sI20s")
TABLE = "what a broken device makes of a table"
Collect = Callable[[Context], None]


class Made(Entity):
    """An entity whose collector the test supplies."""

    do: Collect

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        self.do(ctx)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Collect]], None]:
    """Replaces the collectors of all entities."""

    def put(collectors: dict[str, Collect]) -> None:
        made = entities() | {name: Entity(number, name, {}) for name, number in NUMBERS.items()}
        for name, do in collectors.items():
            made[name] = Made(NUMBERS[name], name, {"do": do})
        monkeypatch.setattr(loop, "known_entities", lambda: made)

    return put


def filled(*sizes: int, byte: int = 0x5A) -> Collect:
    """Returns a collector that fills areas of these sizes."""

    def do(ctx: Context) -> None:
        for size in sizes:
            ctx.area(size)[:] = bytes([byte]) * size

    return do


def failing(error: Exception, written: int = 0) -> Collect:
    """Returns a collector that fails after writing `written` bytes."""

    def do(ctx: Context) -> None:
        if written:
            ctx.area(written)[:] = b"\xee" * written
            ctx.area(0)
        raise error

    return do


def dump(
    size: int = 1 << 20, compress: str = "none", **options: Any
) -> tuple[cudbg.Report, bytearray]:
    """Dumps a card of zeros."""
    buffer = bytearray(size)
    io = RamCard(0x1000).io()
    report = cudbg.collect(io, DEVICE, memoryview(buffer), compress=compress, **options)
    return report, buffer


def header(buffer: bytearray, name: str) -> tuple[Any, ...]:
    """Returns start, size, hdr_flags, sys_warn, sys_err and num_pad of an entity."""
    at = 56 + 52 * (NUMBERS[name] - 1)
    fields = ENTITY_HEADER.unpack_from(buffer, at)
    assert fields[0] == NUMBERS[name]
    return fields[1:7]


def inflated(data: bytes) -> list[bytes]:
    """Returns the pieces of an entity's data."""
    pieces = []
    while len(data) > 3:
        ident, raw, packed = struct.unpack_from("<I4xQQ", data)
        assert ident == 17
        pieces.append(zlib.decompress(data[280 : 280 + packed], 12))
        assert len(pieces[-1]) == raw
        data = data[280 + packed :]
    return pieces


def test_collect_writes_the_kernels_header(make: Any) -> None:
    make({})
    _, buffer = dump()
    assert struct.unpack_from("<IIHHIIHBB", buffer) == (
        67856866, 56, 1, 14, 3800, 0, 72, 0x60, 0x11,
    )  # fmt: skip


def test_collect_records_compression_in_the_header(make: Any) -> None:
    make({})
    assert dump(compress="zlib")[1][0x17] == 0x21


def test_collect_begins_after_72_entity_headers_and_pads_to_words(make: Any) -> None:
    make({"MBOX_LOG": filled(5), "DEV_LOG": filled(8), "REG_DUMP": filled(3)})
    report, buffer = dump(entities=["MBOX_LOG", "DEV_LOG", "REG_DUMP"])
    assert header(buffer, "MBOX_LOG") == (3800, 8, 0, 0, 0, 3)
    assert header(buffer, "DEV_LOG") == (3808, 8, 0, 0, 0, 0)
    assert header(buffer, "REG_DUMP") == (3816, 4, 0, 0, 0, 1)
    assert buffer[3800:3820] == b"ZZZZZ\0\0\0ZZZZZZZZZZZ\0"
    assert report.data_len == int.from_bytes(buffer[12:16], "little") == 3820


def test_collect_takes_entities_in_the_kernels_order(make: Any) -> None:
    make({"EDC0": filled(4), "MBOX_LOG": filled(4)})
    report, _ = dump(entities=["EDC0", "MBOX_LOG"])
    assert [entity.name for entity in report.entities] == ["MBOX_LOG", "EDC0"]


def test_collect_tries_all_entities_and_leaves_other_headers_zero(make: Any) -> None:
    make({})
    report, buffer = dump()
    assert len(report.entities) == len(NUMBERS)
    numbers = {struct.unpack_from("<I", buffer, 56 + 52 * i)[0] for i in range(72)}
    assert numbers == {0, *NUMBERS.values()}


def test_collect_marks_entities_without_a_collector_as_not_implemented(make: Any) -> None:
    make({})
    _, buffer = dump()
    assert header(buffer, "EDC0") == (3800, 0, -28, 0, 0, 0)


def test_collect_marks_entities_that_the_chip_lacks_as_not_found(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make({"MA_INDIRECT": filled(4)})
    monkeypatch.setattr(Made, "chips", (T5,))
    _, buffer = dump()
    assert header(buffer, "MA_INDIRECT") == (3800, 0, -24, 0, 0, 0)


@pytest.mark.parametrize("compress", ["none", "zlib"])
def test_collect_rewinds_a_failed_entity(make: Any, compress: str) -> None:
    make({"MBOX_LOG": failing(Status(-110), 100), "DEV_LOG": filled(8)})
    _, buffer = dump(compress=compress)
    assert header(buffer, "MBOX_LOG") == (3800, 0, -110, 0, 0, 0)
    assert header(buffer, "DEV_LOG")[0] == 3800


def test_collect_keeps_data_of_a_failed_entity_until_they_are_overwritten(make: Any) -> None:
    make({"MBOX_LOG": failing(Status(-110), 12), "DEV_LOG": filled(8)})
    _, buffer = dump(entities=["MBOX_LOG", "DEV_LOG"])
    assert buffer[3800:3816] == b"Z" * 8 + b"\xee" * 4 + b"\0" * 4


def test_collect_turns_a_device_error_into_a_system_error(make: Any) -> None:
    make({"MBOX_LOG": failing(DeviceError(-errno.EBUSY, "port"))})
    _, buffer = dump()
    assert header(buffer, "MBOX_LOG") == (3800, 0, -29, 0, 0xFFFFFFF0, 0)


def test_collect_keeps_the_plain_code_where_there_is_no_sys_err(make: Any) -> None:
    make({"MBOX_LOG": failing(Status(-errno.EINVAL))})
    _, buffer = dump()
    assert header(buffer, "MBOX_LOG") == (3800, 0, -22, 0, 0, 0)


def test_collect_continues_after_an_allocation_fails(make: Any) -> None:
    make({"QDESC": failing(MemoryError(), 100), "CCTRL": filled(8)})
    _, buffer = dump()
    assert header(buffer, "QDESC") == (3800, 0, -12, 0, 0, 0)
    assert header(buffer, "CCTRL")[:3] == (3800, 8, 0)


def test_collect_keeps_a_warning_beside_good_data(make: Any) -> None:
    def do(ctx: Context) -> None:
        ctx.area(4)
        ctx.warn(Code.PARTIAL_DATA)

    make({"LE_TCAM": do})
    _, buffer = dump()
    assert header(buffer, "LE_TCAM") == (3800, 4, 0, 0xFFFFFFD7, 0, 0)


def test_collect_drops_entities_that_do_not_fit_and_continues(make: Any) -> None:
    make({"MBOX_LOG": filled(100, 100), "DEV_LOG": filled(150)})
    _, buffer = dump(size=HEADERS_BYTES + 199)
    assert header(buffer, "MBOX_LOG") == (3800, 0, -19, 0, 0, 0)
    assert header(buffer, "DEV_LOG")[:3] == (3800, 152, 0)


def test_collect_uses_no_more_than_the_limit(make: Any) -> None:
    make({"MBOX_LOG": filled(104), "DEV_LOG": filled(100)})
    _, buffer = dump(size=5000, limit=HEADERS_BYTES + 103)
    assert header(buffer, "MBOX_LOG")[2] == -19
    assert header(buffer, "DEV_LOG")[:3] == (3800, 100, 0)
    assert not any(buffer[3900:])


def test_collect_grants_no_area_above_4_mib_when_it_compresses(make: Any) -> None:
    make({"MBOX_LOG": filled((4 << 20) + 1), "DEV_LOG": filled(4 << 20)})
    _, buffer = dump(size=16 << 20, compress="zlib")
    assert header(buffer, "MBOX_LOG")[2] == -19
    assert header(buffer, "DEV_LOG")[2] == 0
    assert header(dump(size=16 << 20)[1], "MBOX_LOG")[2] == 0


def test_collect_compresses_in_pieces_of_64512_bytes_each_with_a_header(make: Any) -> None:
    make({"MBOX_LOG": filled(2 * PIECE_BYTES + 5)})
    _, buffer = dump(compress="zlib", entities=["MBOX_LOG"])
    start, size, _, _, _, padding = header(buffer, "MBOX_LOG")
    data = bytes(buffer[start : start + size - padding])
    assert [len(piece) for piece in inflated(data)] == [PIECE_BYTES, PIECE_BYTES, 5]
    assert data[280:282] == b"\x48\x89"


def test_collect_leaves_the_reserved_words_of_a_pieces_header_alone(make: Any) -> None:
    make({"MBOX_LOG": filled(4)})
    buffer = bytearray(b"\x77" * 8192)
    buffer[:HEADERS_BYTES] = bytes(HEADERS_BYTES)
    cudbg.collect(RamCard(16).io(), DEVICE, memoryview(buffer), entities=["MBOX_LOG"])
    assert buffer[3804:3808] == b"\x77" * 4
    assert buffer[3824:4080] == b"\x77" * 256


def test_collect_reports_a_system_error_when_the_compressed_data_do_not_fit(make: Any) -> None:
    random = hashlib.shake_128(b"seed").digest(1000)

    def do(ctx: Context) -> None:
        ctx.area(len(random))[:] = random

    make({"MBOX_LOG": do})
    _, buffer = dump(size=HEADERS_BYTES + 1000, compress="zlib")
    assert header(buffer, "MBOX_LOG")[1:5] == (0, -29, 0, 0)


def test_collect_reports_no_room_when_a_pieces_header_does_not_fit(make: Any) -> None:
    make({"MBOX_LOG": filled(279)})
    _, buffer = dump(size=HEADERS_BYTES + 279, compress="zlib")
    assert header(buffer, "MBOX_LOG")[1:5] == (0, -19, 0, 0)


def test_collect_keeps_earlier_entities_when_the_device_dies(make: Any) -> None:
    make(
        {
            "MBOX_LOG": filled(8),
            "DEV_LOG": failing(DeadDevice(-errno.EIO, "read of 0x30d8"), 100),
            "REG_DUMP": filled(8),
        }
    )
    report, buffer = dump()
    assert header(buffer, "MBOX_LOG")[:3] == (3800, 8, 0)
    assert header(buffer, "DEV_LOG") == (3808, 0, -5, 0, 0, 0)
    assert {header(buffer, name)[2] for name in list(NUMBERS)[2:]} == {-5}
    assert "0x30d8" in report.dead
    assert report.lost_from == "DEV_LOG"


def test_the_entity_that_read_an_adapter_that_is_gone_has_no_data(make: Any) -> None:
    card = RamCard(0x20000)

    def reading(ctx: Context) -> None:
        io.run([Read(0x100, 4)], out=ctx.area(16))

    def gone(ctx: Context) -> None:
        card.memory[:] = b"\xff" * len(card.memory)
        reading(ctx)

    make({"MBOX_LOG": reading, "DEV_LOG": gone, "REG_DUMP": reading})
    io, buffer = card.io(), bytearray(1 << 20)
    report = cudbg.collect(
        io, DEVICE, memoryview(buffer), entities=["MBOX_LOG", "DEV_LOG", "REG_DUMP"]
    )
    assert [entity.code for entity in report.entities] == [0, -5, -5]
    assert (report.lost_from, "all ones" in report.dead) == ("DEV_LOG", True)
    assert [entity.counts.r32 for entity in report.entities] == [4, 4, 0]


@pytest.mark.parametrize("error", [DeviceError(-errno.EAGAIN, ""), Status(-19), IndexError()])
def test_whatever_an_adapter_that_is_gone_makes_of_an_entity_its_status_is_eio(
    make: Any, error: Exception
) -> None:
    card = RamCard(0x20000)
    card.memory[:] = b"\xff" * len(card.memory)

    def fails(ctx: Context) -> None:
        io.read(0x100)
        raise error

    make({"MBOX_LOG": fails})
    io = card.io()
    report = cudbg.collect(io, DEVICE, memoryview(bytearray(1 << 20)), entities=["MBOX_LOG"])
    (entity,) = report.entities
    assert (entity.code, entity.bug, report.lost_from) == (-5, "", "MBOX_LOG")


def test_collect_does_not_wait_for_compression(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    next_one_began = threading.Event()
    deflate = dump_writer.deflated

    def waiting(piece: memoryview) -> bytes:
        assert next_one_began.wait(10)
        return deflate(piece)

    def second(ctx: Context) -> None:
        ctx.area(4)
        next_one_began.set()

    monkeypatch.setattr(dump_writer, "deflated", waiting)
    make({"MBOX_LOG": filled(1000), "DEV_LOG": second})
    report, _ = dump(compress="zlib", entities=["MBOX_LOG", "DEV_LOG"])
    assert len(report.good) == 2


def test_an_error_of_a_collector_costs_its_entity_alone(make: Any) -> None:
    def broken(ctx: Context) -> None:
        raise IndexError(TABLE)

    make({"MBOX_LOG": broken, "DEV_LOG": filled(8)})
    report, _ = dump(entities=["MBOX_LOG", "DEV_LOG"])
    assert [entity.code for entity in report.entities] == [Code.SYSTEM_ERROR, 0]
    assert [entity.bug for entity in report.entities] == [repr(IndexError(TABLE)), ""]


def test_an_error_of_the_compressing_thread_costs_its_entity_alone(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(piece: memoryview) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(dump_writer, "deflated", broken)
    make({"MBOX_LOG": filled(1000)})
    report, _ = dump(compress="zlib", entities=["MBOX_LOG"])
    assert [entity.code for entity in report.entities] == [Code.SYSTEM_ERROR]


@pytest.mark.parametrize("compress", ["none", "zlib"])
def test_collect_stores_zeros_over_the_data_of_a_failed_entity(make: Any, compress: str) -> None:
    size = 20 * PIECE_BYTES + 5
    make(
        {
            "MBOX_LOG": failing(DeviceError(-errno.EIO, ""), 1000),
            "DEV_LOG": lambda ctx: ctx.zeros(size),
        }
    )
    report, buffer = dump(4 << 20, compress)
    start, stored = header(buffer, "DEV_LOG")[:2]
    data = bytes(buffer[start : start + stored])
    found = b"".join(inflated(data)) if compress == "zlib" else data[:size]
    assert found == bytes(size)
    assert {entity.name: entity.raw_bytes for entity in report.good} == {"DEV_LOG": size}


def test_collect_does_not_touch_memory_that_is_already_zero(make: Any) -> None:
    def fill(ctx: Context) -> None:
        ctx.area(1000)[:] = b"\x5a" * 1000
        ctx.zeros(8 << 20)

    make({"MBOX_LOG": fill})
    with mmap.mmap(-1, 16 << 20) as memory, memoryview(memory) as buffer:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        cudbg.collect(RamCard(0x1000).io(), DEVICE, buffer, compress="none")
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults * mmap.PAGESIZE < 4 << 20


def test_collect_reports_the_begin_and_end_of_each_entity(make: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    make({"MBOX_LOG": filled(4)})
    dump(
        entities=["MBOX_LOG", "EDC0"],
        progress=lambda entity, place, total: seen.append((entity.name, place, total)),
    )
    assert seen == [("MBOX_LOG", 0, 2)] * 2 + [("EDC0", 1, 2)] * 2


def test_collect_refuses_a_buffer_without_room_for_the_headers() -> None:
    with pytest.raises(cudbg.TooSmall, match="3800"):
        dump(size=3799)


def test_collect_refuses_an_unknown_entity() -> None:
    with pytest.raises(cudbg.UnknownEntity, match="NOPE"):
        dump(entities=["NOPE", "EDC0"])


def test_collect_refuses_an_unknown_compression() -> None:
    with pytest.raises(ValueError, match="lzma"):
        dump(compress="lzma")


def noise(size: int, seed: int) -> bytes:
    """Returns bytes that compress to about half."""
    return b"".join(
        bytes([(seed * 31 + i * i * 7) & 0xFF]) * (1 + (i + seed) % 5) for i in range(size)
    )[:size]


def one_after_the_other(sizes: list[list[int]], limit: int) -> bytes:
    """Returns the kernel's dump, computed step by step: no threads, no early decisions."""
    buffer, offset = bytearray(limit + 3), HEADERS_BYTES
    for number, areas in enumerate(sizes):
        start, good = offset, True
        for size in areas:
            if offset + size > limit:
                good = False
                break
            raw = noise(size, number)
            for at in range(0, size, PIECE_BYTES):
                piece = raw[at : at + PIECE_BYTES]
                if offset + 280 > limit:
                    good = False
                    break
                struct.pack_into("<I", buffer, offset, 17)
                packer = zlib.compressobj(-1, zlib.DEFLATED, 12, 4)
                packed = packer.compress(piece) + packer.flush()
                room = limit - offset - 280
                buffer[offset + 280 : offset + 280 + min(len(packed), room)] = packed[:room]
                if len(packed) > room:
                    good = False
                    break
                struct.pack_into("<QQ", buffer, offset + 8, len(piece), len(packed))
                offset += 280 + len(packed)
            if not good:
                break
        if not good:
            offset = start
        elif padding := -(offset - start) % 4:
            buffer[offset : offset + padding] = bytes(padding)
            offset += padding
    return bytes(buffer[HEADERS_BYTES:limit])


@settings(max_examples=60)
@given(
    sizes=st.lists(
        st.lists(st.integers(1, 3000) | st.just(PIECE_BYTES + 100), max_size=4),
        min_size=1,
        max_size=8,
    ),
    room=st.integers(0, 12_000) | st.integers(0, 200_000),
)
def test_collect_fills_the_last_bytes_as_if_it_waited_for_compression(
    sizes: list[list[int]], room: int
) -> None:
    names = list(NUMBERS)[: len(sizes)]
    room &= ~3  # like the kernel's limit; otherwise the last padding would exceed it

    def taking(number: int, areas: list[int]) -> Collect:
        def do(ctx: Context) -> None:
            for size in areas:
                ctx.area(size)[:] = noise(size, number)

        return do

    made = {
        name: Made(NUMBERS[name], name, {"do": taking(i, sizes[i])}) for i, name in enumerate(names)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "known_entities", lambda: made)
        _, buffer = dump(size=HEADERS_BYTES + room, compress="zlib", entities=names)
    assert bytes(buffer[HEADERS_BYTES:]) == one_after_the_other(sizes, HEADERS_BYTES + room)


LOST = DeadDevice(-errno.EIO, "read of 0x30d8")


def losing(times: int, then: Collect, written: int, filler: bytes = b"\xee") -> Collect:
    """Returns a collector that loses the connection so often after filling `written` bytes."""
    left = [times]

    def do(ctx: Context) -> None:
        if left[0]:
            left[0] -= 1
            for piece in ctx.pieces(written):
                piece[:] = filler * len(piece)
            ctx.warn(Code.PARTIAL_DATA)
            ctx.area(100)[:] = filler * 100
            raise LOST
        then(ctx)

    return do


@pytest.mark.parametrize("compress", ["none", "zlib"])
@pytest.mark.parametrize("written", [0, 1000, 5 * PIECE_BYTES, 40 * PIECE_BYTES])
def test_an_entity_that_is_collected_again_leaves_no_trace_of_its_first_attempt(
    make: Any, compress: str, written: int
) -> None:
    random = Random(written).randbytes(2 * PIECE_BYTES)  # does not compress

    def good(ctx: Context) -> None:
        ctx.area(2 * PIECE_BYTES)[:] = random
        ctx.area(8)[:4] = b"half"

    regained: list[None] = []
    after = {"MBOX_LOG": filled(8), "REG_DUMP": filled(700)}
    make({**after, "DEV_LOG": good})
    expected, plain = dump(8 << 20, compress)
    make({**after, "DEV_LOG": losing(1, good, written, b"\xee")})
    report, buffer = dump(8 << 20, compress, regain=lambda: regained.append(None))
    assert buffer == plain
    assert len(regained) == 1
    assert [(e.code, e.raw_bytes, e.sys_warn) for e in report.entities] == [
        (e.code, e.raw_bytes, e.sys_warn) for e in expected.entities
    ]
    assert [e.name for e in report.entities if e.reconnects] == ["DEV_LOG"]
    assert not report.dead


def test_an_entity_is_collected_again_once(make: Any) -> None:
    regained: list[None] = []
    make({"MBOX_LOG": losing(2, filled(8), 100), "DEV_LOG": filled(8)})
    report, _ = dump(entities=["MBOX_LOG", "DEV_LOG"], regain=lambda: regained.append(None))
    assert [entity.code for entity in report.entities] == [-errno.EIO, 0]
    assert [entity.reconnects for entity in report.entities] == [2, 0]
    assert (len(regained), report.dead) == (2, "")


def test_a_device_that_is_not_regained_is_lost_with_both_reasons(make: Any) -> None:
    def gone() -> None:
        raise ConnectionError("nobody answers")

    make({"MBOX_LOG": losing(1, filled(8), 100), "DEV_LOG": filled(8)})
    report, _ = dump(entities=["MBOX_LOG", "DEV_LOG"], regain=gone)
    assert [entity.code for entity in report.entities] == [-errno.EIO] * 2
    assert report.dead == f"{LOST}; nobody answers"


def test_an_adapter_that_is_gone_is_not_regained(make: Any) -> None:
    def never() -> None:
        pytest.fail("the connection works")

    make({"MBOX_LOG": failing(AdapterGone(-errno.EIO, "PL_WHOAMI"))})
    report, _ = dump(entities=["MBOX_LOG"], regain=never)
    assert report.lost_from == "MBOX_LOG"
