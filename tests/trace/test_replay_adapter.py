"""The adapter's side of a trace, served to a driver: what it answers, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyvfio_user import Client, Refused, Server
from tests.trace.conftest import SMALL
from vmcoredd import cudbg, driver, emu
from vmcoredd.chip import T6
from vmcoredd.emu.recording import recording
from vmcoredd.emu.server import running, served
from vmcoredd.trace.archive import Reader, Writer
from vmcoredd.trace.errors import TraceFormatError
from vmcoredd.trace.replay.adapter_side import Player
from vmcoredd.trace.replay.report import Report

REV, CONTROL, WHOAMI = (int(T6.r[name]) for name in ("PL_REV", "SGE_CONTROL", "PL_WHOAMI"))
MAILBOX = int(T6.r.CIM_PF_MAILBOX_CTRL[4])


@contextmanager
def recorded(path: Path, socket: Path) -> Iterator[None]:
    """A card of which all is recorded, served at `socket`."""
    card = emu.Card.load("t62100-cr", **SMALL)
    with recording(card, path), served(card, socket):
        yield


@contextmanager
def played(path: Path, socket: Path) -> Iterator[Report]:
    """The trace's adapter, at `socket`; the report is complete at the end."""
    with Reader(path) as reader, Server(socket) as server:
        player = Player(reader, server)
        with running(server):
            yield player.report
        player.end()


def collected(socket: Path) -> bytes:
    """What our driver dumps of the adapter at `socket`."""
    buffer = bytearray(cudbg.DUMP_SIZE)
    with driver.open(socket) as adapter:
        adapter.collect(memoryview(buffer), compress="none", entities=["CIM_QCFG", "RSS", "CIM_LA"])
    return bytes(buffer)


def test_a_driver_that_does_the_same_gets_the_same(path: Path, tmp_path: Path) -> None:
    with recorded(path, tmp_path / "card"):
        dump = collected(tmp_path / "card")
    with played(path, tmp_path / "again") as report:
        assert collected(tmp_path / "again") == dump
    assert (report.differences, report.left_out) == ([], {})
    assert report.accesses > 1000


@pytest.fixture
def three(path: Path, tmp_path: Path) -> Path:
    """A trace of three reads, of a mailbox twice, and of a write."""
    with recorded(path, tmp_path / "card"), Client(tmp_path / "card") as client:
        for offset in (REV, CONTROL, WHOAMI, MAILBOX, MAILBOX):
            client.region_read(0, offset, 4)
        client.region_write(0, CONTROL, b"\1\2\3\4")
    return path


def test_a_driver_may_poll_more_or_less_often(three: Path, tmp_path: Path) -> None:
    for turns in (1, 2, 9):
        with played(three, tmp_path / "s") as report, Client(tmp_path / "s") as client:
            for offset in (REV, CONTROL, WHOAMI, *[MAILBOX] * turns):
                client.region_read(0, offset, 4)
            client.region_write(0, CONTROL, b"\1\2\3\4")
        assert report.differences == []
        assert (report.polls["recorded"], report.polls["made"]) == (2, turns)


def test_an_added_access_is_told_and_the_rest_is_equal(three: Path, tmp_path: Path) -> None:
    with played(three, tmp_path / "s") as report, Client(tmp_path / "s") as client:
        read = [client.region_read(0, o, 4) for o in (REV, REV, CONTROL, WHOAMI, MAILBOX)]
        client.region_write(0, CONTROL, b"\1\2\3\4")
    (found,) = report.differences
    assert (found.what, found.came) == ("read SGE_CONTROL", "read PL_REV")
    assert read[0] == read[1]
    assert report.left_out == {"accesses that the driver has added": 1}


def test_accesses_that_are_left_out_are_counted(three: Path, tmp_path: Path) -> None:
    with played(three, tmp_path / "s") as report, Client(tmp_path / "s") as client:
        for offset in (REV, WHOAMI, MAILBOX):
            client.region_read(0, offset, 4)
        client.region_write(0, CONTROL, b"\1\2\3\4")
    (found,) = report.differences
    assert (found.what, found.came) == ("read SGE_CONTROL", "read PL_WHOAMI")
    assert report.left_out == {"recorded accesses that the driver has left out": 1}


def test_another_value_that_is_written_is_told(three: Path, tmp_path: Path) -> None:
    with played(three, tmp_path / "s") as report, Client(tmp_path / "s") as client:
        for offset in (REV, CONTROL, WHOAMI, MAILBOX):
            client.region_read(0, offset, 4)
        client.region_write(0, CONTROL, b"\1\2\3\5")
    (found,) = report.differences
    assert found.what == "write SGE_CONTROL"


def test_a_driver_that_goes_early_differs(three: Path, tmp_path: Path) -> None:
    with played(three, tmp_path / "s") as report, Client(tmp_path / "s") as client:
        client.region_read(0, REV, 4)
    (found,) = report.differences
    assert (found.what, found.recorded) == ("the end of the driver", "5 more accesses")


def test_a_recorded_refusal_is_repeated(path: Path, tmp_path: Path) -> None:
    def ask(socket: Path) -> None:
        with Client(socket) as client, pytest.raises(Refused):
            client.region_write(0, 2, bytes(4))

    with recorded(path, tmp_path / "card"):
        ask(tmp_path / "card")
    with played(path, tmp_path / "again") as report:
        ask(tmp_path / "again")
    assert report.differences == []


@pytest.mark.parametrize(
    "wrong", [{"bars": None}, {"bars": {"0": 3}}, {"bars": {"9": 4096}}, {"msix": {"vectors": -1}}]
)
def test_a_header_that_describes_no_adapter_is_refused(
    three: Path, tmp_path: Path, wrong: dict[str, object]
) -> None:
    with Reader(three) as reader:
        Writer(tmp_path / "other.npz", {**reader.header, **wrong}).finish({"events": 0, "lost": 0})
    reading, serving = Reader(tmp_path / "other.npz"), Server(tmp_path / "s")
    with reading as reader, serving as server, pytest.raises(TraceFormatError):
        Player(reader, server)
