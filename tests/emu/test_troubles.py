"""What the card reports when its packet engine meets an error: causes, vector 0, logs."""

from __future__ import annotations

import errno
import logging

import pytest
from engine_host import Listener, plug

from vmcoredd.chip.devlog import DevlogEntry
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.pci import PF
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.engine.trouble import TEXTS, Kind, Trouble
from vmcoredd.emu.silicon.mailbox import Mailboxes

STATUS, MASTER_ABORT = 7, 0x20
QUEUE, ADDRESS = 66, 0x1234_5678_9000


@pytest.fixture
def host() -> Listener:
    return Listener(0)


@pytest.fixture(params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest, host: Listener) -> Card:
    """A card whose driver takes interrupts, as t4_intr_enable() leaves it."""
    card = Card.load(request.param)
    plug(card, host)
    card.write(card.chip.r.PL_INT_MAP0, 1 << PF)
    return card


def meet(card: Card, kind: Kind, what: int = ADDRESS, error: int = -errno.ENOENT) -> None:
    card.engine.trouble(Trouble(kind, QUEUE, what, error))


def names(card: Card, register: str) -> set[str]:
    """Returns the fields of a register that are not 0."""
    found = card.chip.r[register]
    word = card.read(found)
    return {field.name for field in found.fields if found.get(word, field.name)}


def last_record(card: Card) -> str:
    """Returns the newest record of the firmware's log."""
    firmware = card.model(Mailboxes).firmware
    at = firmware.log.address + (firmware.state.logged - 1) * sizeof(DevlogEntry)
    record = DevlogEntry.from_bytes(card.memories.read(at, sizeof(DevlogEntry)))
    text = bytes(record.fmt).rstrip(b"\0\n").decode()
    return text % tuple(record.params[: text.count("%")])


@pytest.mark.parametrize(
    ("kind", "error", "cause", "bit"),
    [
        (Kind.DMA_READ, -errno.ENOENT, "SGE_INT_CAUSE3", "err_pcie_error0"),
        (Kind.DMA_WRITE, -errno.EACCES, "SGE_INT_CAUSE3", "err_pcie_error0"),
        (Kind.WORK_REQUEST, 0, "SGE_INT_CAUSE4", "err_wr_len_too_large0"),
        (Kind.DOORBELL, 0, "SGE_INT_CAUSE3", "err_bad_db_pidx0"),
        (Kind.DOORBELL, -errno.ENOENT, "SGE_INT_CAUSE3", "err_inv_ctxt0"),
        (Kind.BUFFER, 0, "SGE_INT_CAUSE4", "err_physaddr_len0_idma0"),
        (Kind.GTS, 0, "SGE_INT_CAUSE3", "err_invalid_cidx_inc"),
    ],
)
def test_trouble_sets_its_cause_and_raises_vector_0(
    card: Card, host: Listener, kind: Kind, error: int, cause: str, bit: str
) -> None:
    meet(card, kind, error=error)
    assert bit in names(card, cause)
    assert "SGE" in names(card, "PL_INT_CAUSE")
    assert 0 in host.got
    stats = card.chip.r.SGE_ERROR_STATS
    assert stats.get(card.read(stats), "Error_QID") == QUEUE


def test_a_read_that_the_host_refuses_is_a_master_abort_and_an_outbound_read_error(
    card: Card,
) -> None:
    meet(card, Kind.DMA_READ)
    assert card.config_read(STATUS, 1)[0] & MASTER_ABORT
    assert "RdRspErr" in names(card, "PCIE_INT_CAUSE")
    card.config_write(STATUS, bytes([MASTER_ABORT]))
    assert not card.config_read(STATUS, 1)[0] & MASTER_ABORT


def test_a_write_that_the_host_refuses_is_no_error_of_the_bus(card: Card) -> None:
    meet(card, Kind.DMA_WRITE)
    assert not card.config_read(STATUS, 1)[0] & MASTER_ABORT
    assert "RdRspErr" not in names(card, "PCIE_INT_CAUSE")


def test_a_second_error_is_uncaptured_until_the_driver_clears_the_first(card: Card) -> None:
    """sge_intr_handler() writes both bits to clear them."""
    stats = card.chip.r.SGE_ERROR_STATS
    meet(card, Kind.DMA_READ)
    card.engine.trouble(Trouble(Kind.GTS, QUEUE + 1, 5, 0))
    assert {"Error_QID_Valid", "Uncaptured_Error"} <= names(card, "SGE_ERROR_STATS")
    assert stats.get(card.read(stats), "Error_QID") == QUEUE
    card.write(stats, stats.mask("Error_QID_Valid", "Uncaptured_Error"))
    assert not {"Error_QID_Valid", "Uncaptured_Error"} & names(card, "SGE_ERROR_STATS")


def test_the_driver_clears_causes_and_hears_of_the_next(card: Card, host: Listener) -> None:
    r = card.chip.r
    meet(card, Kind.GTS)
    for register in (r.SGE_INT_CAUSE3, r.PL_INT_CAUSE):
        card.write(register, card.read(register))
        assert card.read(register) == 0
    host.got.clear()
    meet(card, Kind.GTS)
    assert host.got == [0]


@pytest.mark.parametrize("register", ["PL_INT_ENABLE", "PL_INT_MAP0"])
def test_vector_0_is_silent_while_interrupts_are_not_enabled(
    card: Card, host: Listener, register: str
) -> None:
    card.write(card.chip.r[register], 0)
    meet(card, Kind.DMA_READ)
    assert host.got == []
    assert "SGE" in names(card, "PL_INT_CAUSE")


def test_trouble_is_in_the_firmwares_log_and_in_the_emulators(
    card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        meet(card, Kind.DMA_READ)
    assert "queue 66: the host refuses a read of its memory at 0x123456789000" in caplog.text
    assert "queue 66: reading host memory at 0x0000123456789000 failed" in last_record(card)


def test_python_knows_all_kinds_of_trouble() -> None:
    assert {f"TROUBLE_{kind.name}" for kind in Kind} == {
        name for name in dir(lib) if name.startswith("TROUBLE_")
    }
    assert set(TEXTS) == set(Kind)


def test_trouble_of_a_wire_is_only_logged(card: Card, host: Listener) -> None:
    meet(card, Kind.WIRE)
    assert host.got == []
    assert "SGE" not in names(card, "PL_INT_CAUSE")
