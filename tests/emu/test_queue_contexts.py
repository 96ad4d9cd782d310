"""The SGE contexts of queues that firmware hands out, and what a dump says of them."""

from __future__ import annotations

import pytest
from carddump import CARDS, CardDump, collect
from emumail import Mailbox

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.firmware import Bye, EqCtrl, EqEth, Iq, Params, Retval, Vi, param
from vmcoredd.chip.firmware.params import Dmaq
from vmcoredd.chip.sge import ContextType
from vmcoredd.emu import Card, Scene
from vmcoredd.emu.contexts import ContextTable, encode
from vmcoredd.emu.engine import NO_QUEUE
from vmcoredd.emu.scenario import commands
from vmcoredd.emu.scenario.queues import Egress, Ingress

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
RECEIVED = Ingress(0, 1, 0x1_2345_6000, 0, 0, 1, 5)
LIST = Egress(0, 1, 9, 0x1_3345_6000, 0, 0, flm=0)
SENT = Egress(0, 1, 1024, 0x1_4345_6000, 0, 0)
CONTROL = Egress(0, 1, 512, 0x1_5345_6000, 0, 0, control=True)


class Driver:
    """A driver that has set up one queue of each kind on port 1, as cxgb4 does."""

    def __init__(self, chip: Chip) -> None:
        self.card = Card.load(CARDS[chip], scene=Scene.FRESH, strict=True)
        self.mail = Mailbox(self.card)
        viid = self.mail.do(Vi(alloc=1, portid=1)).viid
        command = commands.iq(chip, RECEIVED, LIST)
        command.viid = viid
        reply = self.mail.do(command)
        self.received, self.list = reply.iqid, reply.fl0id
        sent = commands.eq(chip, SENT)
        assert isinstance(sent, EqEth)
        sent.viid, sent.iqid = viid, self.received
        self.sent = self.mail.do(sent).eqid
        self.control = self.mail.do(commands.eq(chip, CONTROL)).eqid
        mode = commands.congestion(chip, 1, 2)
        self.set_parameter(Dmaq.CONM_CTXT, mode["CngTPMode"] << 19 | mode["CngChMap"])

    def set_parameter(self, which: Dmaq, value: int) -> None:
        number = param(which, self.received >> 8, self.received & 0xFF)
        self.mail.do(Params.writing([(number, value)]))

    def free(self) -> None:
        self.mail.do(Iq(free=1, iqid=self.received, fl0id=self.list, fl1id=NO_QUEUE))
        self.mail.do(EqEth(free=1, eqid=self.sent))
        self.mail.do(EqCtrl(free=1, eqid=self.control))

    def dump(self) -> CardDump:
        return collect(self.card, entities=("DUMP_CONTEXT",))


def fields(found: CardDump, context: str, queue: int) -> dict[str, int]:
    """The fields of a context in a dump that are not 0."""
    return {
        row["field"]: row["value"]
        for row in found.table("DUMP_CONTEXT", "every field")
        if (row["context"], row["queue"]) == (context, queue) and row["value"]
    }


def in_use(found: CardDump) -> list[tuple[str, int]]:
    """Kind and number of the contexts in a dump."""
    decoded = found.dump.decode("DUMP_CONTEXT")
    if [part.title for part in decoded] == ["EMPTY"]:
        return []
    rows = found.table("DUMP_CONTEXT", "every field")
    return list(dict.fromkeys((row["context"], row["queue"]) for row in rows))


@CHIPS
def test_a_dump_shows_the_queues_that_firmware_handed_out(chip: Chip) -> None:
    driver = Driver(chip)
    found, flm = driver.dump(), 0
    assert in_use(found) == [
        ("egress", driver.list),
        ("egress", driver.sent),
        ("egress", driver.control),
        ("ingress", driver.received),
        ("free list", flm),
        ("congestion", flm),
    ]


@CHIPS
def test_an_ingress_context_is_what_the_driver_asked_for(chip: Chip) -> None:
    driver = Driver(chip)
    assert fields(driver.dump(), "ingress", driver.received) == {
        "Queue_Valid": 1,
        "BaseAddress": RECEIVED.address >> 9,
        "QueueSize": 1024 // 16,
        "QueueEntrySize": 2,
        "Generation": 1,
        "GTSmode": 1,
        "PCIeChannel": 1,
        "UpdateDelivery": 1,
        "InterruptIDX": 5,
        "RxIntCounterThreshold": 2,
        "CongestionMgtEnable": 1,
    }


@CHIPS
def test_the_contexts_of_a_free_list_are_what_the_driver_asked_for(chip: Chip) -> None:
    driver = Driver(chip)
    found = driver.dump()
    burst = {T5: {"FetchBurstMin": 3, "FetchBurstMax": 3}, T6: {"FetchBurstMax": 2}}[chip]
    assert fields(found, "egress", driver.list) == burst | {
        "Valid": 1,
        "QueueType": 1,
        "BaseAddress": LIST.address >> 9,
        "QueueSize": 10,
        "FLMPacking": 1,
        "FetchRO": 1,
        "PCIeDataChannel": 1,
        "FID": 4 << 8,
    }
    assert fields(found, "free list", 0) == {T5: {}, T6: {"CongEn": 1}}[chip] | {
        "Valid": 1,
        "EQid": driver.list,
        "PackEn": 1,
        "PadEn": 1,
        "RelaxedOrdering": 1,
    }
    maps = {T5: 0x1100, T6: 0x100}
    assert fields(found, "congestion", 0) == {"CngTPMode": 2, "CngChMap": maps[chip]}


@CHIPS
def test_an_egress_context_is_what_the_driver_asked_for(chip: Chip) -> None:
    driver = Driver(chip)
    found = driver.dump()
    common = {
        "Valid": 1,
        "FetchRO": 1,
        "FetchBurstMax": 3,
        "CIDXFlushThresh": 5,
        "PCIeDataChannel": 1,
        "FID": 4 << 8,
    } | {T5: {"FetchBurstMin": 2}, T6: {}}[chip]
    ethernet = {T5: {"HostFCMode": 1, "FCThreshOverride": 1}, T6: {"HostFCMode": 2}}[chip]
    assert fields(found, "egress", driver.sent) == common | ethernet | {
        "BaseAddress": SENT.address >> 9,
        "QueueSize": 1025,
    }
    assert fields(found, "egress", driver.control) == common | {
        "HostFCMode": 2,
        "BaseAddress": CONTROL.address >> 9,
        "QueueSize": 513,
    }


@CHIPS
def test_adapter_memory_has_the_same_contexts(chip: Chip) -> None:
    driver = Driver(chip)
    card, r = driver.card, chip.r
    for region, kind, number in (
        ("DBQ contexts", ContextType.EGRESS, driver.sent),
        ("DBQ contexts", ContextType.EGRESS, driver.list),
        ("IMSG contexts", ContextType.INGRESS, driver.received),
    ):
        card.write(r.SGE_CTXT_CMD, r.SGE_CTXT_CMD.of(CtxtType=kind, QID=number))
        words = b"".join(card.bar_read(0, r.SGE_CTXT_DATA0 + 4 * i, 4) for i in range(6))
        base = card.scenario.memory_map[region].base
        stored = card.memories.read(base + 24 * number, 24)
        assert b"".join(stored[at : at + 8][::-1] for at in (0, 8, 16)) == words


@CHIPS
def test_freed_queues_leave_no_context(chip: Chip) -> None:
    driver = Driver(chip)
    base = driver.card.scenario.memory_map["DBQ contexts"].base
    driver.free()
    assert in_use(driver.dump()) == []
    assert not any(driver.card.memories.read(base + 24 * driver.sent, 24))
    assert not any(driver.card.memories.read(base + 24 * driver.list, 24))


@CHIPS
def test_a_driver_that_says_goodbye_leaves_no_context(chip: Chip) -> None:
    driver = Driver(chip)
    driver.mail.do(Bye())
    assert in_use(driver.dump()) == []


@CHIPS
def test_a_changed_threshold_is_in_the_context(chip: Chip) -> None:
    driver = Driver(chip)
    driver.set_parameter(Dmaq.IQ_INTCNTTHRESH, 3)
    assert fields(driver.dump(), "ingress", driver.received)["RxIntCounterThreshold"] == 3


def test_the_doorbell_timer_of_a_queue_is_in_its_context() -> None:
    driver = Driver(T6)
    command = commands.eq(T6, SENT)
    assert isinstance(command, EqEth)
    command.timeren, command.timerix = 1, 5
    number = driver.mail.do(command).eqid
    assert fields(driver.dump(), "egress", number)["TimerIx"] == 5
    which = param(Dmaq.EQ_TIMERIX, 0, number)
    driver.mail.do(Params.writing([(which, 3)]))
    assert fields(driver.dump(), "egress", number)["TimerIx"] == 3
    assert driver.mail.call(Params.writing([(which, 8)])).retval == Retval.EINVAL


def test_a_congestion_context_with_unknown_bits_is_refused() -> None:
    driver = Driver(T6)
    number = param(Dmaq.CONM_CTXT, 0, driver.received)
    assert driver.mail.call(Params.writing([(number, 1 << 22)])).retval == Retval.EINVAL
    number = param(Dmaq.CONM_CTXT, 0, driver.received + 1)
    assert driver.mail.call(Params.writing([(number, 0)])).retval == Retval.EINVAL


def test_a_value_that_the_context_cannot_hold_is_refused() -> None:
    driver = Driver(T6)
    command = commands.eq(T6, SENT)
    command.fbmin = 4
    assert driver.mail.call(command).retval == Retval.EINVAL


def test_a_t6_takes_the_t5s_values_of_a_shortest_fetch() -> None:
    """DPDK and older drivers of FreeBSD ask a T6 for 64 or 128 bytes as they ask a T5."""
    driver = Driver(T6)
    for t5_value, t6_value in ((2, 0), (3, 1)):
        command = commands.eq(T6, SENT)
        command.fbmin = t5_value
        number = driver.mail.do(command).eqid
        assert fields(driver.dump(), "egress", number).get("FetchBurstMin", 0) == t6_value


@CHIPS
def test_changing_a_field_leaves_the_others(chip: Chip) -> None:
    card = Driver(chip).card
    table = ContextTable(card.core.spaces, card.memories, card.scenario.memory_map)
    for kind in ContextType:
        layout = chip.sge.context_fields(kind)
        full = {field.name: field.mask >> field.shift for field in layout} | {"QueueType": 0}
        full = {name: value for name, value in full.items() if name in {f.name for f in layout}}
        table.store(kind, 200, full)
        table.change(kind, 200, **{layout[1].name: 0})
        words = card.core.spaces.space("sge_contexts").words
        first = (kind * 8192 + 200) * 6
        assert tuple(words[first : first + 6]) == encode(chip, kind, full | {layout[1].name: 0})
