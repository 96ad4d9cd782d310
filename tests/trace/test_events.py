"""Events: names, fields, windows, commands and replies."""

from __future__ import annotations

import copy
import errno
from pathlib import Path

import pytest
from emumail import Mailbox

from tests.trace.conftest import Recording, events, read
from vmcoredd import emu
from vmcoredd.chip.firmware import Dev, Devlog, Hello, Initialize, Params, param
from vmcoredd.emu.recording import recording
from vmcoredd.trace.errors import TraceFormatError
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.records import Kind, lost_record


def test_an_access_has_its_register_and_fields(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    r = card.chip.r
    with recorded():
        card.write(r.CIM_HOST_ACC_CTRL, r.CIM_HOST_ACC_CTRL.of(HostAddr=0x140))
        card.read(r.PCIE_FW_PF[7])
    write, read_back = events(path)
    assert (write.kind, write.name, write.block) == ("write", "CIM_HOST_ACC_CTRL", "CIM")
    assert write.fields["HostAddr"] == 0x140
    assert write.changes["HostAddr"] == (0, 0x140)
    assert read_back.name == "PCIE_FW_PF[7]"
    assert write.source == "driver"


def test_a_move_of_a_window_names_the_memory(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    edc1 = card.memories["edc1"]
    base = card.read(card.chip.r.PCIE_MEM_ACCESS_BASE_WIN) & ~0x3FF
    with recorded():
        card.write(card.chip.r.PCIE_MEM_ACCESS_OFFSET, edc1.base + 0x800 | 4)
        card.read(base + 8)
    _, move, through = events(path)
    assert (move.kind, move.name) == ("window", "window 0 shows EDC1+0x800")
    assert (through.block, through.name, through.details["at"]) == ("memory", "EDC1", 0x808)


def test_mailbox_commands_and_replies_have_their_fields(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    with recorded():
        mail = Mailbox(card)
        devlog = mail.do(Devlog(read=1))
        mail.do(Params.reading([param(Dev.CCLK)]))
        mail.call(Hello(mbmaster=4, masterforce=1))
    messages = [event for event in events(path) if event.kind in ("command", "reply")]
    assert [(event.kind, event.name) for event in messages] == [
        *(("command", "DEVLOG"), ("reply", "DEVLOG")),
        *(("command", "PARAMS"), ("reply", "PARAMS")),
        *(("command", "HELLO"), ("reply", "HELLO")),
    ]
    assert messages[1].details["memsize_devlog"] == devlog.memsize_devlog
    assert messages[1].details["retval"] == "SUCCESS (0)"
    assert messages[3].details["params"] == {"DEV.CCLK": card.profile.card.core_clock}
    assert messages[4].details["masterforce"] == 1
    assert {event.source for event in messages[1::2]} == {"firmware"}


def test_a_refused_command_has_its_return_value(path: Path) -> None:
    card = emu.Card.load("t62100-cr", faults=["firmware-uninitialised"])
    with recording(card, path):
        Mailbox(card).call(Initialize())
    (reply,) = [event for event in events(path) if event.kind == "reply"]
    assert reply.details["retval"].startswith("EINVAL")


def test_configuration_space_has_names(card: emu.Card, path: Path, recorded: Recording) -> None:
    with recorded():
        for offset, length in ((0, 2), (4, 2), (5, 1), (0x78, 4), (0x100, 4)):
            card.config_read(offset, length)
    names = [event.name for event in events(path)]
    assert names == ["vendor", "command", "command+1", "EXP+0x8", "ERR+0x0"]


def test_what_happens_during_an_access_is_nested_in_it(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    with recorded():
        card.bar_write(2, 8, (5 << 15).to_bytes(4, "little"))
    found = events(path)
    assert [(event.kind, event.nested) for event in found] == [
        *(("write", False), ("doorbell", True), ("trouble", True), ("interrupt", True)),
    ]
    assert found[0].space == "bar2"
    assert "a doorbell makes no sense" in found[2].name


@pytest.mark.parametrize("lacking", ["chip", "memories", "started"])
def test_a_header_without_what_is_needed_is_refused(
    card: emu.Card, path: Path, recorded: Recording, lacking: str
) -> None:
    with recorded():
        pass
    header = copy.deepcopy(read(path)[0].header)
    del header[lacking]
    with pytest.raises(TraceFormatError, match=lacking):
        Decoder(header)


def test_a_headers_text_of_trouble_is_filled_and_nothing_else(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    with recorded():
        pass
    header = copy.deepcopy(read(path)[0].header)
    header["troubles"] = {"3": "{queue} {what:#x} {error} {what:1000000000d} {0} {queue.real} {no}"}
    record = lost_record(0, 26)._replace(kind=Kind.TROUBLE, space=3, detail=7, error=errno.EFAULT)
    (event,) = Decoder(header).of(record)
    assert event.name == "7 0x1a EFAULT {what:1000000000d} {0} {queue.real} {no}"


def test_a_record_of_values_that_do_not_exist_is_an_event(
    card: emu.Card, path: Path, recorded: Recording
) -> None:
    """Files may hold anything."""
    with recorded():
        pass
    decoder = Decoder(read(path)[0].header)
    odd = {
        "space": 200,
        "source": 77,
        "error": 250,
        "length": 1 << 31,
        "detail": 3,
        "address": 1 << 63,
    }
    for kind in Kind:
        if kind is not Kind.DATA:
            record = lost_record(0, 1 << 63)._replace(kind=kind, **odd)
            assert next(iter(decoder.of(record))).error == "250"
