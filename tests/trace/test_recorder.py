"""Recording: every access is in the trace, or counted as lost; without a trace nothing is done."""

from __future__ import annotations

import errno
import resource
import signal
import time
from pathlib import Path

import pytest
from cliruns import PATIENCE, emulated, ended, ready

from tests.trace.conftest import LEAST_RING, Recording, read
from vmcoredd import cudbg, driver, emu
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.errors import AccessError
from vmcoredd.emu.recording import recording
from vmcoredd.emu.server import served
from vmcoredd.trace.errors import TraceExists
from vmcoredd.trace.records import CONFIG_SPACE, MALFORMED, WINDOW, Kind, Source, count
from vmcoredd.trace.ring import Ring


def dump(adapter: driver.Adapter) -> None:
    """Collects a dump."""
    with adapter:
        adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)), compress="none")


def test_a_trace_of_a_dump_counts_what_the_card_counts(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    with recorded() as recorder:
        dump(driver.open_card(card))
    reader, records = read(path)
    assert count(records)._asdict() == card.accesses
    assert reader.end == {"events": len(records), "lost": 0}
    assert (reader.damage, recorder.ring.lost) == ("", 0)


def test_a_trace_of_a_dump_over_a_socket_counts_what_the_card_counts(
    card: emu.Card, path: Path, tmp_path: Path, recorded: Recording
) -> None:
    socket = tmp_path / "card.sock"
    with recorded(), served(card, socket):
        dump(driver.open(socket))
    _, records = read(path)
    assert count(records)._asdict() == card.accesses
    accesses = [record for record in records if record.kind in (Kind.READ, Kind.WRITE)]
    assert {record.source for record in accesses} == {Source.CLIENT}
    kinds = [record.kind for record in records if record.kind >= Kind.RESET]
    assert kinds[0] == Kind.ATTACHED
    assert kinds[-1] == Kind.DETACHED


def test_a_dump_is_the_same_with_a_trace(card: emu.Card, recorded: Recording) -> None:
    fresh = card.snapshot()
    plain, traced = (memoryview(bytearray(cudbg.DUMP_SIZE)) for _ in range(2))
    with driver.open_card(card) as adapter:
        adapter.collect(plain, compress="none")
    card.restore(fresh)
    with recorded(), driver.open_card(card) as adapter:
        adapter.collect(traced, compress="none")
    assert traced == plain


def test_without_a_trace_nothing_is_recorded(card: emu.Card) -> None:
    ring = Ring(LEAST_RING)
    dump(driver.open_card(card))
    card.core.note(Kind.RESET, Source.CLIENT)
    assert card.core.c.trace == ffi.NULL
    card.core.record(ring)
    card.core.record(None)
    dump(driver.open_card(card))
    assert (ring.events, ring.lost, ring.ready_bytes) == (0, 0, 0)


def test_an_access_has_what_was_written_and_stored(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    cause = card.chip.r.PL_INT_CAUSE
    card.core.spaces.set(cause, 0b1111)
    with recorded():
        card.write(cause, 0b0101)
        card.read(cause)
    _, (write, read_back) = read(path)
    assert (write.value, write.before, write.after) == (0b0101, 0b1111, 0b1010)
    assert (read_back.value, read_back.before, read_back.after) == (0b1010,) * 3
    assert write.time + write.spent <= read_back.time
    assert write.source == Source.DRIVER


def test_a_run_carries_its_bytes(card: emu.Card, path: Path, recorded: Recording) -> None:
    start, words = 0x1008, 100
    with recorded():
        data = card.bar_read(0, start, 4 * words)
    _, (run,) = read(path)
    assert (run.kind, run.address, run.length, run.carried) == (Kind.READ, start, 400, 400)
    assert run.content == data


def test_an_access_through_a_window_has_the_adapters_address(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    window = card.chip.r.PCIE_MEM_ACCESS_OFFSET
    base = card.read(card.chip.r.PCIE_MEM_ACCESS_BASE_WIN) & ~0x3FF
    card.write(window, 0x12000)
    card.memories.write(0x12010, b"abcd")
    with recorded():
        assert card.bar_read(0, base + 0x10, 4) == b"abcd"
    _, (access,) = read(path)
    assert (access.detail, access.before, access.content) == (WINDOW, 0x12010, b"abcd")


def test_refused_accesses_are_there_with_their_error(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    with recorded():
        for offset, data in ((int(card.chip.r.PL_REV), b"abcd"), (1, b"abc"), (1 << 19, b"abcd")):
            with pytest.raises(AccessError):
                card.bar_write(0, offset, data)
    _, records = read(path)
    assert [record.error for record in records] == [errno.EPERM, errno.EINVAL, errno.ERANGE]
    assert [record.detail for record in records] == [0, MALFORMED, MALFORMED]
    assert count(records)._asdict() == card.accesses


def test_configuration_space_is_there(card: emu.Card, path: Path, recorded: Recording) -> None:
    with recorded():
        card.config_write(4, b"\x06\x00")
        assert card.config_read(0, 4) == bytes.fromhex("25140d64")
        card.config_read(0, 64)
    _, (write, read_back, run) = read(path)
    assert {record.space for record in (write, read_back, run)} == {CONFIG_SPACE}
    assert (write.value, write.before & 0xFFFF, write.after & 0xFFFF) == (6, 0, 6)
    assert (read_back.value, run.carried) == (0x640D1425, 64)


def test_faults_and_resets_are_there(card: emu.Card, path: Path, recorded: Recording) -> None:
    with recorded():
        card.fail("firmware-dead")
        card.reset()
    reader, records = read(path)
    assert [(record.kind, record.data) for record in records] == [
        (Kind.FAULT, b"firmware-dead"),
        (Kind.RESET, b""),
    ]
    assert reader.header["faults"] == []


def test_the_header_tells_how_to_make_the_same_card(path: Path) -> None:
    card = emu.Card.load("t520-cr", 7, scene="fresh", faults=["firmware-slow"])
    with recording(card, path):
        pass
    reader, records = read(path)
    header = reader.header
    assert records == []
    assert (header["card"], header["seed"], header["scene"]) == ("t520-cr", 7, "fresh")
    assert (header["faults"], header["chip"]) == (["firmware-slow"], "t5")
    assert header["profile"]["card"]["device_id"] == card.profile.card.device_id


# What the ring cannot take


def test_what_is_lost_stands_in_the_trace(card: emu.Card, path: Path, recorded: Recording) -> None:
    with recorded(ring_bytes=LEAST_RING) as recorder:
        dump(driver.open_card(card))
    reader, records = read(path)
    told = sum(record.value for record in records if record.kind == Kind.LOST)
    events = sum(record.kind != Kind.LOST for record in records)
    assert told == recorder.ring.lost > 0
    assert reader.end == {"events": events, "lost": told}


# The file


def test_a_file_is_not_replaced(card: emu.Card, path: Path, recorded: Recording) -> None:
    path.write_text("precious")
    with pytest.raises(TraceExists), recorded():
        pass
    assert path.read_text() == "precious"
    with recorded(force=True):
        card.read(0x19400)
    assert len(read(path)[1]) == 1


def test_a_full_disk_ends_the_trace_and_not_the_card(
    card: emu.Card, path: Path, recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with recorded() as recorder:
            dump(driver.open_card(card))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert recorder.failure is not None
    assert recorder.failure.errno == errno.EFBIG
    assert f"{path}: File too large; the trace ends here" in caplog.text
    reader, _ = read(path)
    assert reader.end is None
    assert reader.damage


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_only_a_server_that_ends_orderly_completes_its_trace(
    path: Path, tmp_path: Path, end: signal.Signals
) -> None:
    socket = tmp_path / "card.sock"
    arguments = ("--card", "t62100-cr", "--socket", socket, "--trace", path)
    with emulated(*arguments) as process:
        ready(process)
        with driver.open(socket) as adapter:
            made = adapter.io.counts.total
        if end == signal.SIGKILL:
            wait_for_accesses(path, made)
        ended(process, end)
    reader, records = read(path)
    assert sum(record.counted for record in records) >= made > 0
    assert (reader.end is not None) == (end == signal.SIGTERM)
    assert ("killed" in reader.damage) == (end == signal.SIGKILL)


def wait_for_accesses(path: Path, least: int) -> None:
    """Returns once so many accesses are in the file: the recorder writes twice a second."""
    end = time.monotonic() + PATIENCE
    while sum(record.counted for record in read(path)[1]) < least:
        assert time.monotonic() < end
        time.sleep(0.05)
