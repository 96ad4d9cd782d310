"""A recorded driver's side, played to a card: what is equal, what differs, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kernel_trace import TRACE

from pyvfio_user import Client as VfioClient
from tests.trace.conftest import SMALL, Recording
from vmcoredd import driver, emu
from vmcoredd.chip import T6
from vmcoredd.emu.control import Client, beside
from vmcoredd.emu.recording import card_of, recording
from vmcoredd.emu.server import served
from vmcoredd.trace.archive import Reader, Writer
from vmcoredd.trace.replay.driver_side import Options, replay
from vmcoredd.trace.replay.report import Report

QUICK = 0.05
UNDESCRIBED = 0x100
Play = Callable[..., Report]


@pytest.fixture
def play(path: Path, tmp_path: Path) -> Play:
    """Plays the trace to a card, a new one by default; `asked`: its control socket is used."""

    def run(card: emu.Card | None = None, *, asked: bool = False, strict: bool = False) -> Report:
        socket = tmp_path / "other.sock"
        card = card or emu.Card.load("t62100-cr", **SMALL)
        with served(card, socket, control=beside(socket)), Reader(path) as reader:
            if not asked:
                return replay(reader, socket, Options(None, strict, QUICK))
            with Client(socket) as client:
                return replay(reader, socket, Options(lambda r: client.ask(**r), strict, QUICK))

    return run


@contextmanager
def attached(card: emu.Card, path: Path, socket: Path) -> Iterator[driver.Adapter]:
    """A driver on the other side of a card's socket; all is recorded."""
    with recording(card, path), served(card, socket), driver.open(socket) as adapter:
        yield adapter


def test_a_probe_is_equal_on_a_card_like_the_recorded_one(
    recorded: Recording, card: emu.Card, play: Play
) -> None:
    with recorded(), driver.open_card(card):
        pass
    report = play()
    assert (report.differing, report.volatile, report.left_out) == (0, {}, {})
    assert report.accesses > 100
    assert report.polls["made"] >= report.polls["waits"] > 0


def test_a_probe_over_a_socket_is_equal_too(
    card: emu.Card, path: Path, tmp_path: Path, play: Play
) -> None:
    with attached(card, path, tmp_path / "card.sock"):
        pass
    assert play().differing == 0


def test_another_answer_is_told_by_its_register_and_fields(
    card: emu.Card, recorded: Recording, play: Play
) -> None:
    with recorded():
        card.read(int(T6.r.PL_REV))
        card.read(int(T6.r.SGE_CONTROL))
    other = emu.Card.load("t62100-cr", card={"revision": 1}, **SMALL)
    report = play(other)
    (found,) = report.differences
    assert found.what == "read PL_REV"
    assert (found.recorded, found.came) == ("0x00000000 Rev=0x0", "0x00000001 Rev=0x1")


def test_a_refusal_is_an_answer(card: emu.Card, recorded: Recording, play: Play) -> None:
    with recorded():
        with pytest.raises(emu.AccessError):
            card.bar_write(0, 2, bytes(4))
        card.write(UNDESCRIBED, 1)
        card.read(UNDESCRIBED)
    assert play().differing == 0
    report = play(emu.Card.load("t62100-cr", strict=True, **SMALL))
    assert [one.came for one in report.differences] == ["refused: Input/output error"] * 2


def test_a_volatile_register_may_differ_unless_the_replay_is_strict(
    card: emu.Card, recorded: Recording, play: Play
) -> None:
    clock = T6.r.SGE_TIMESTAMP_LO
    with recorded():
        card.read(int(clock))
    other = emu.Card.load("t62100-cr", **SMALL)
    other.core.bar0.words[int(clock) // 4] += 1
    assert play(other).volatile == {"SGE_TIMESTAMP_LO": 1}
    other = emu.Card.load("t62100-cr", **SMALL)
    other.core.bar0.words[int(clock) // 4] += 1
    assert play(other, strict=True).differing == 1


def test_requests_are_applied_where_there_is_a_control_socket(
    card: emu.Card, path: Path, tmp_path: Path, play: Play
) -> None:
    socket = tmp_path / "card.sock"
    with (
        recording(card, path),
        served(card, socket, control=beside(socket)),
        Client(socket) as client,
    ):
        client.ask("fault", on=["firmware-crash"])
        with VfioClient(socket) as vfio:
            vfio.region_read(0, int(T6.r.PCIE_FW), 4)
            client.ask("fault", off=["firmware-crash"])
            vfio.region_read(0, int(T6.r.PCIE_FW), 4)
            client.ask("reset")
    assert play(asked=True).differing == 0
    alone = play()
    assert alone.differing == 1
    assert "fault on firmware-crash" in alone.parts[1].title
    assert "reset" in alone.parts[-1].title


def test_a_trace_of_a_used_card_is_said_to_be_one(
    card: emu.Card, recorded: Recording, play: Play
) -> None:
    card.read(int(T6.r.PL_REV))
    with recorded():
        card.read(int(T6.r.PL_REV))
    assert play().left_out == {"the card had been used when the trace began": 1}


# The kernel's driver, without the kernel


def test_the_kernels_probe_and_its_interface_coming_up_are_equal(tmp_path: Path) -> None:
    socket = tmp_path / "card.sock"
    with Reader(TRACE) as reader, served(card_of(reader.header), socket):
        report = replay(reader, socket, Options())
    assert (report.differences, report.left_out, reader.damage) == ([], {}, "")
    assert report.compared["DMA write"] >= 4
    assert report.compared["interrupt"] > 0
    assert report.accesses > 4000


def test_a_card_with_a_fault_answers_the_kernel_otherwise(tmp_path: Path) -> None:
    socket = tmp_path / "broken.sock"
    with Reader(TRACE) as reader:
        card = card_of(reader.header)
        card.fail("firmware-retval=EPERM@command:VI")
        with served(card, socket):
            report = replay(reader, socket, Options(patience=QUICK))
    first = report.differences[0]
    assert first.after == "command VI"
    assert "MAILBOX" in first.what


def test_a_long_answer_to_a_read_whose_record_has_no_data_is_told(
    card: emu.Card, path: Path, play: Play
) -> None:
    """Damage: no recorder writes such a record."""
    with recording(card, path):
        card.read(int(T6.r.PL_REV))
    with Reader(path) as reader:
        header, (record,) = reader.header, reader.records()
    writer = Writer(path, header, force=True)
    writer.add(record._replace(length=16).packed())
    writer.finish({"events": 1, "lost": 0})
    assert play().differing == 1
