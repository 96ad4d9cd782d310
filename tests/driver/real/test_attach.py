"""A dump through firmware that runs: what it has more, what it leaves alone, and when it refuses.

The kernel's own code judges what is collected: tests/interop/test_attached_dump.py.
"""

from __future__ import annotations

import errno

import pytest

from vmcoredd import cudbg, emu
from vmcoredd.chip.firmware import Initialize, Op, Reset
from vmcoredd.driver.adapter import Adapter
from vmcoredd.driver.errors import MailboxError
from vmcoredd.driver.real.errors import Refused
from vmcoredd.driver.transports import Inproc

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
ASKED = ["TID_INFO", "CLK", "HW_SCHED", "DUMP_CONTEXT", "MPS_TCAM", "TP_INDIRECT", "RSS_VF_CONF"]
"""Entities of which a driver asks the firmware."""


class Real(Inproc):
    """A card in this process that is treated as hardware."""

    is_real = True


def load(name: str = "t62100-cr", *faults: str, scene: str = "crashed") -> emu.Card:
    return emu.Card.load(name, memory=SMALL, faults=faults, scene=scene)


def attached(card: emu.Card) -> Adapter:
    return Adapter(Real(card), sleep=lambda seconds: None, attach_as="0000:01:00.4")


def dump_of(adapter: Adapter, entities: list[str]) -> cudbg.Dump:
    buffer = bytearray(cudbg.DUMP_SIZE)
    adapter.collect(memoryview(buffer), entities=entities)
    return cudbg.Dump(buffer)


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_values_of_registers_are_the_same_through_the_firmware(name: str) -> None:
    same = ["TP_INDIRECT", "RSS_VF_CONF"]
    with attached(load(name)) as adapter:
        through = dump_of(adapter, same)
    with Adapter(Real(load(name))) as adapter:
        direct = dump_of(adapter, same)
    assert [through.raw(one) for one in same] == [direct.raw(one) for one in same]


def test_the_firmware_tells_the_clock_and_ranges_of_ids() -> None:
    with attached(load()) as adapter:
        dump = dump_of(adapter, ASKED)
    assert all(entity.good for entity in dump.entities)
    ranges, *_ = dump.decode("TID_INFO").json()
    assert ranges["table"] == "ranges of ids"
    assert "preset" not in str(dump.decode("CLK").json())


def test_firmware_is_left_as_it_was_found() -> None:
    card = load(scene="fresh")  # of another, it frees what the dead driver had
    before = card.firmware.state.master
    with attached(card) as adapter:
        dump_of(adapter, ["TID_INFO", "HW_SCHED", "MPS_TCAM", "EDC0"])  # the log has 256 entries
        sent = {entry.words[0] >> 56 for entry in adapter.mailbox.log}
    assert sent == {Op.HELLO, Op.PARAMS, Op.LDST}
    assert {entry.words[0] >> 56 for entry in adapter.mailbox.log} == {*sent, Op.BYE}
    assert card.firmware.state.master == before
    assert card.firmware.state.initialised


@pytest.mark.parametrize("command", [Reset(val=3), Initialize()])
def test_an_observer_sends_nothing_that_changes_the_adapter(command: Reset | Initialize) -> None:
    with Adapter(Real(load())) as adapter:
        with pytest.raises(MailboxError, match="an observer does not send it") as found:
            adapter.mailbox.call(command)
        assert found.value.retval == errno.EPERM
        assert adapter.mailbox.log == ()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("firmware-crash", "the firmware has crashed: PCIE_FW is"),
        ("firmware-dead", "the firmware does not answer"),
    ],
)
def test_dead_firmware_is_refused_and_the_adapter_is_not_stopped(fault: str, why: str) -> None:
    card = load("t62100-cr", fault)
    control = card.chip.r.SGE_CONTROL
    before = card.read(control)
    with pytest.raises(Refused, match=why) as found:
        attached(card)
    assert "dump it without --attach" in found.value.remedy
    assert card.read(control) == before


def test_without_attaching_no_command_is_sent() -> None:
    card = load()
    with Adapter(Real(card)) as adapter:
        buffer = bytearray(cudbg.DUMP_SIZE)
        adapter.collect(memoryview(buffer))
        assert adapter.mailbox.log == ()


def test_a_real_adapters_configuration_space_is_only_read() -> None:
    card = load()
    vpd = 0xD0
    before = card.config_read(0, 4096)
    with Adapter(Real(card)) as adapter:
        adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)))
    after = bytearray(card.config_read(0, 4096))
    after[vpd : vpd + 8] = before[vpd : vpd + 8]  # where the vital product data are read
    assert bytes(after) == before
