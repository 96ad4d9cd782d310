"""The firmware's device log: its location and its records."""

from __future__ import annotations

import pytest
from emumail import Mailbox

from vmcoredd.chip import devlog as layout
from vmcoredd.chip.devlog import DEVLOG_PF, DevlogEntry, Level
from vmcoredd.chip.firmware import Devlog, Hello, Pfvf, Retval, Vi, ViEnable
from vmcoredd.chip.layout import sizeof
from vmcoredd.emu import Card
from vmcoredd.emu.silicon.mailbox import Mailboxes


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


def log(card: Card) -> list[DevlogEntry]:
    """Returns the records of the device log, oldest first, located the way the driver does."""
    pointer = card.chip.r.PCIE_FW_PF
    word = card.read(pointer[DEVLOG_PF])
    count = (pointer.get(word, "NENTRIES128") + 1) * layout.ENTRIES_UNIT
    memory = next(m for m in card.memories if m.type.number == pointer.get(word, "MEMTYPE"))
    start = memory.base + pointer.get(word, "ADDR16") * 16
    data = card.memories.read(start, count * sizeof(DevlogEntry))
    found = [DevlogEntry.from_bytes(data[i:]) for i in range(0, len(data), sizeof(DevlogEntry))]
    return sorted((e for e in found if e.timestamp), key=lambda e: e.seqno)


def texts(card: Card) -> list[str]:
    return [_text(entry) for entry in log(card)]


def _text(entry: DevlogEntry) -> str:
    template = bytes(entry.fmt).split(b"\0")[0].decode().rstrip("\n")
    return template % tuple(entry.params[: template.count("%")])


def test_register_and_command_agree_on_the_location_of_the_log(card: Card, mail: Mailbox) -> None:
    reply = mail.do(Devlog(read=1))
    pointer = card.chip.r.PCIE_FW_PF
    word = card.read(pointer[DEVLOG_PF])
    assert reply.memaddr16_devlog == pointer.get(word, "ADDR16")
    assert reply.memsize_devlog == card.profile.firmware.devlog_kib * 1024


def test_the_log_begins_with_the_boot(card: Card) -> None:
    messages = texts(card)
    assert messages[0] == "firmware 0x011b0500 starting"
    assert "port 1: link up, 100 Gbps" in messages
    assert [entry.seqno for entry in log(card)] == list(range(len(messages)))
    times = [entry.timestamp for entry in log(card)]
    assert times == sorted(times)


def test_commands_are_logged_in_order(card: Card, mail: Mailbox) -> None:
    mail.do(Hello(mbmaster=0xF))
    mail.call(Pfvf(write=1))
    assert texts(card)[-2:] == [
        "PF4: hello, master is PF4",
        f"PF4: command 0x09 refused, return value {Retval.EPERM:d}",
    ]


def test_the_log_says_that_a_ports_led_blinks_and_no_more(card: Card, mail: Mailbox) -> None:
    """`ethtool -p`, which leaves the interface as it is."""
    viid = mail.do(Vi(alloc=1, portid=1)).viid
    mail.do(ViEnable(viid=viid, ien=1, een=1))
    for blinks in (0xFFFF, 0):
        mail.do(ViEnable(viid=viid, led=1, blinkdur=blinks))
    assert texts(card)[-2:] == ["port 1: LED blinks", "port 1: LED is still"]
    (row,) = [row for row in card.engine.c.interfaces if row.viid == viid]
    assert (row.receives, row.sends) == (1, 1)
    assert mail.call(ViEnable(viid=viid + 1, led=1, blinkdur=1)).retval == Retval.EINVAL


def test_a_refused_command_is_no_error_of_the_firmware(card: Card, mail: Mailbox) -> None:
    mail.call(Pfvf(write=1))
    assert log(card)[-1].level == Level.NOTICE


def test_each_format_ends_in_a_newline(card: Card, mail: Mailbox) -> None:
    """The driver's debugfs prints formats as they are, one after another."""
    mail.call(Pfvf(write=1))
    assert all(bytes(record.fmt).rstrip(b"\0").endswith(b"\n") for record in log(card))


def test_the_log_is_a_ring(card: Card, mail: Mailbox) -> None:
    before = len(log(card))
    entries = card.profile.firmware.devlog_kib * 1024 // sizeof(DevlogEntry)
    firmware = card.model(Mailboxes).firmware
    while firmware.state.logged < entries + 5:
        mail.call(Pfvf(write=1))
    records = log(card)
    assert before < len(records) == entries
    assert records[0].seqno == 5


def test_a_log_without_a_pointer_is_still_there() -> None:
    card = Card.load("t62100-cr", faults=["no-devlog-pointer"])
    assert card.read(card.chip.r.PCIE_FW_PF[DEVLOG_PF]) == 0
    assert Mailbox(card).do(Devlog(read=1)).memsize_devlog


@pytest.mark.parametrize("kib", [32, 128, 512])
@pytest.mark.parametrize("edc", [1, 2])
def test_the_log_fits_its_memory(kib: int, edc: int) -> None:
    memory = {"edc0": edc, "edc1": edc, "mc0": 0}
    card = Card.load("t520-cr", firmware={"devlog_kib": kib}, memory=memory)
    assert len(log(card)) == card.model(Mailboxes).firmware.state.logged


@pytest.mark.parametrize("fault", ["firmware-crash", "firmware-halted", "firmware-dead"])
def test_a_firmware_that_has_stopped_logs_nothing(fault: str) -> None:
    card = Card.load("t62100-cr", faults=[fault])
    before = texts(card)
    card.fail("link-down-port0")
    card.reset()
    assert texts(card) == before


def test_events_are_logged_in_the_order_in_which_they_happen() -> None:
    card = Card.load("t62100-cr", faults=["link-down-port0", "firmware-overheat"])
    records = log(card)[-4:]
    assert [entry.level for entry in records] == [3, 3, 1, 0]
    assert records[1].timestamp - records[0].timestamp > card.profile.card.core_clock * 1000
    assert texts(card)[-4] == "port 0: link down, no signal"


def test_a_firmware_that_has_crashed_does_not_crash_again() -> None:
    card = Card.load("t62100-cr", faults=["firmware-overheat", "firmware-crash"])
    status = card.chip.r.PCIE_FW
    assert status.get(card.read(status), "EVAL") == 5
