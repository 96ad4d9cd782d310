"""Captures: pcapng files of what a port sends and receives."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from stations import Station, frame

from vmcoredd.emu import Card, Scene, wires
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.wires import CaptureExists, WireError

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
IN, OUT = 1, 2


class Packet(NamedTuple):
    """A block with a frame."""

    time: int
    data: bytes
    direction: int


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The blocks of a file; each has its length at both ends."""
    while data:
        kind, length = struct.unpack_from("=II", data)
        assert length % 4 == 0
        assert struct.unpack_from("=I", data, length - 4) == (length,)
        yield kind, data[8 : length - 4]
        data = data[length:]


def packets(path: Path) -> list[Packet]:
    """The frames of a file with one interface."""
    (first, section), (second, _), *others = blocks(path.read_bytes())
    assert (first, second) == (SECTION, INTERFACE)
    assert struct.unpack("=IHHq", section) == (0x1A2B3C4D, 1, 0, -1)
    return [packet(kind, body) for kind, body in others]


def packet(kind: int, body: bytes) -> Packet:
    number, high, low, captured, original = struct.unpack_from("=IIIII", body)
    assert (kind, number, captured) == (PACKET, 0, original)
    option, size, flags, end = struct.unpack("=HHII", body[-12:])
    assert (option, size, end) == (2, 4, 0)
    assert len(body) == 20 + -(-captured // 4) * 4 + 12
    return Packet(high << 32 | low, body[20 : 20 + captured], flags)


@pytest.fixture(scope="module")
def made() -> Station:
    """A card whose two ports are connected, and up."""
    card = Card.load("t62100-cr", scene=Scene.FRESH)
    wires.plug(["0=1"], {"": card})
    return Station(card).up(0, 1)


@pytest.fixture
def station(made: Station) -> Iterator[Station]:
    """The same, without captures."""
    yield made
    for port in (0, 1):
        lib.engine_capture(made.c, port, -1, 0)


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Refuses to make files longer; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def capture(station: Station, *texts: str) -> None:
    wires.capture(texts, {"": station.card})


def test_both_directions_are_captured_with_their_times(station: Station, tmp_path: Path) -> None:
    path = tmp_path / "port0.pcapng"
    capture(station, f"0={path}")
    lengths = (60, 61, 62, 63, 1514)
    station.send(0, *(frame(n, n) for n in lengths))
    station.send(1, frame(20))
    got = packets(path)
    assert [each.data for each in got] == [*(frame(n, n) for n in lengths), frame(20) + bytes(40)]
    assert [each.direction for each in got] == [OUT] * 5 + [IN]
    times = [each.time for each in got]
    assert times == sorted(times)
    assert abs(times[-1] / 1e9 - path.stat().st_mtime) < 10


def test_each_port_has_its_own_file(station: Station, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    capture(station, f"0={paths[0]}", f"1={paths[1]}")
    station.send(0, frame(60))
    assert [[each.direction for each in packets(path)] for path in paths] == [[OUT], [IN]]


def test_what_is_not_sent_is_not_captured(station: Station, tmp_path: Path) -> None:
    capture(station, f"0={tmp_path}/a")
    station.down(1)
    station.send(0, frame(60))
    station.up(1)
    assert packets(tmp_path / "a") == []


def test_a_capture_is_larger_than_its_buffer(station: Station, tmp_path: Path) -> None:
    capture(station, f"0={tmp_path}/a")
    station.send(0, *(frame(9000, n) for n in range(100)))
    assert [each.data for each in packets(tmp_path / "a")] == [frame(9000, n) for n in range(100)]


def test_a_file_that_cannot_grow_ends_its_capture_with_one_message(
    station: Station, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    capture(station, f"0={path}")
    before = station.counters(1, "RX")["FRAMES"]
    with no_file_longer_than(20_000):
        for number in range(5):
            station.send(0, frame(9000, number))
            station.engine.run()
    assert caplog.messages == ["port 0: the capture ends: File too large"]
    assert [each.data for each in packets(path)] == [frame(9000, 0), frame(9000, 1)]
    assert station.counters(1, "RX")["FRAMES"] == before + 5


def test_a_pipe_that_nobody_reads_ends_a_capture(station: Station, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    capture(station, f"0={fifo}")
    station.send(0, *(frame(9000, n) for n in range(50)))
    assert station.c.ports[0].capture.fd == -1
    first = os.read(reader, 4096)
    assert struct.unpack_from("=I", first) == (SECTION,)
    os.close(reader)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "not a capture; type 0=port0.pcapng"),
        ("x=a", "not a capture"),
        ("0=", "not a capture"),
        ("2=a", "no port 2; t62100-cr has 0 to 1"),
        ("0=/no/such/folder/a", "No such file or directory"),
    ],
)
def test_a_capture_that_cannot_be_is_refused(station: Station, text: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        capture(station, text)


def test_a_port_has_one_capture(station: Station, tmp_path: Path) -> None:
    with pytest.raises(WireError, match="two captures"):
        capture(station, f"0={tmp_path}/a", f"0={tmp_path}/b")


def test_a_file_is_not_replaced_unless_asked_to(station: Station, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(CaptureExists, match="File exists"):
        capture(station, f"0={tmp_path}/a", f"1={tmp_path}/b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "mine"
    wires.capture([f"1={tmp_path}/b"], {"": station.card}, force=True)
    assert packets(tmp_path / "b") == []


def test_two_ports_need_two_files(station: Station, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(WireError, match="two ports have the file"):
        capture(station, f"0={tmp_path}/a", f"1={tmp_path}/link")
    assert not (tmp_path / "a").exists()
