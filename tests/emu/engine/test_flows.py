"""Flows of Ethernet offload: how a driver opens them, their credits, and their rates."""

from __future__ import annotations

import random
import struct

import pytest
from frames import ethernet
from rxdriver import Rig, RxDriver
from txdriver import Outlet, TxDriver, inline, make, padded, tx_pkt, uso

from vmcoredd.chip.firmware.queue import SCHED_CLS_NONE
from vmcoredd.chip.message_layouts import EthTxEo, Flowc, FlowcParameter, Fw4Ack, RssHeader
from vmcoredd.chip.messages import Cpl, FlowParameter, FlowState, TxSegments, WorkRequest
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine import FLOWS, EgressKind
from vmcoredd.emu.engine.tables import load, save

IQ, MS = 40, 1_000_000
OPEN, CLOSE = FlowState.ESTABLISHED, FlowState.CLOSING
FRAME = ethernet(bytes(236))


@pytest.fixture
def outlet(rig: Rig) -> Outlet:
    rig.now += 1000 * MS
    return Outlet(rig)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host, kind=EgressKind.OFFLOAD, ingress=IQ, entries=511, auto_status=0)


@pytest.fixture
def acks(rig: Rig) -> RxDriver:
    return RxDriver(rig.host, number=IQ)


def flowc(flow: int, *parameters: tuple[int, int], compl: int = 1, **header: int) -> bytes:
    """Returns FW_FLOWC_WR with these parameters."""
    body = b"".join(make(FlowcParameter, mnemonic=each, val=value) for each, value in parameters)
    whole = padded(make(Flowc) + body)
    fields = {
        "op": WorkRequest.FLOWC, "compl": compl, "flowid": flow, "nparams": len(parameters),
        "len16": len(whole) // 16,
    }  # fmt: skip
    return make(Flowc, **(fields | header)) + whole[8:]


def linux(flow: int, state: int = OPEN, traffic_class: int = 2, iq: int = IQ) -> bytes:
    """Returns the one that cxgb4_ethofld_send_flowc() makes."""
    return flowc(
        flow,
        (FlowParameter.PFNVFN, 4 << 8),
        (FlowParameter.CH, 0),
        (FlowParameter.PORT, 0),
        (FlowParameter.IQID, iq),
        (FlowParameter.SCHEDCLASS, traffic_class if state == OPEN else SCHED_CLS_NONE),
        (FlowParameter.EOSTATE, state),
    )


def eo(flow: int, frame: bytes = FRAME, compl: int = 0) -> bytes:
    """Returns FW_ETH_TX_EO_WR with a frame that is not to be cut: 20 units."""
    cpl = tx_pkt(len(frame))
    whole = padded(make(EthTxEo) + cpl + frame)
    head = make(
        EthTxEo, op=WorkRequest.ETH_TX_EO, compl=compl, immdlen=len(cpl) + len(frame), flowid=flow,
        len16=len(whole) // 16, type=TxSegments.TCPSEG, mss=0xFFFF, plen=len(frame) - 54,
    )  # fmt: skip
    return head + whole[len(head) :]


UNITS = len(eo(0)) // 16


def credits(rig: Rig, acks: RxDriver) -> list[tuple[int, int]]:
    """Runs the engine; returns what CPL_FW4_ACKs give back: flow, units."""
    rig.run()
    got = acks.poll()
    acks.gts(len(got))
    found = []
    for each in got:
        header, ack = RssHeader.from_bytes(each.cpl), Fw4Ack.from_bytes(each.cpl[8:])
        assert (header.opcode, ack.opcode) == (Cpl.FW4_ACK, Cpl.FW4_ACK)
        assert (header.qid, ack.flags) == (acks.number, 0)
        found.append((ack.flowid, ack.credits))
    return found


def test_opening_a_flow_is_acknowledged(rig: Rig, driver: TxDriver, acks: RxDriver) -> None:
    driver.post(linux(7))
    assert credits(rig, acks) == [(7, 4)]
    flow = rig.c.flows[7]
    assert (flow.open, flow.pf, flow.port, flow.traffic_class) == (1, 4, 0, 2)
    assert rig.troubles == []


def test_credits_come_back_when_a_request_asks_for_them(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7), eo(7), eo(7), eo(7, compl=1), eo(7))
    assert credits(rig, acks) == [(7, 4), (7, 3 * UNITS)]
    assert outlet.frames() == [FRAME] * 4
    driver.post(eo(7, compl=1))
    assert credits(rig, acks) == [(7, 2 * UNITS)]
    assert rig.c.flows[7].units == 0


def test_each_flow_has_its_credits_and_its_queue(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    other = RxDriver(rig.host, number=41, free_list=65)
    driver.post(linux(7), linux(2047, iq=41), eo(7), eo(2047), eo(2047, compl=1), eo(7, compl=1))
    assert credits(rig, acks) == [(7, 4), (7, 2 * UNITS)]
    assert credits(rig, other) == [(2047, 4), (2047, 2 * UNITS)]


def test_more_credits_than_a_message_can_give_back_need_another(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7, OPEN), *[eo(7)] * 15, eo(7, compl=1))
    assert credits(rig, acks) == [(7, 4), (7, 255)]
    driver.post(eo(7, compl=1))
    assert credits(rig, acks) == [(7, 17 * UNITS - 255)]


def test_an_acknowledgement_without_room_waits_and_its_queue_with_it(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    acks = RxDriver(rig.host, number=IQ, entries=3)
    driver.post(linux(7), *[eo(7, compl=1)] * 6)
    rig.run()
    rig.run()
    assert len(outlet.frames()) == 2
    assert not rig.c.pending
    assert rig.c.egress[driver.number].held
    got = []
    for _ in range(10):
        got += credits(rig, acks)
    assert got == [(7, 4)] + [(7, UNITS)] * 6
    assert len(outlet.frames()) == 4


def test_a_segmented_packet_is_acknowledged_once(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, bytes(4), bytes(4))
    data = uso(driver, ethernet(ip + bytes(8)), [bytes(5000)], mss=1000, ip=20)
    request = EthTxEo.from_bytes(data)
    request.flowid, request.compl = 7, 1
    driver.post(linux(7), bytes(request) + data[len(bytes(request)) :])
    assert credits(rig, acks) == [(7, 4), (7, len(data) // 16)]
    assert len(outlet.frames()) == 5


def test_a_closed_flow_sends_no_more_and_can_be_opened_again(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7), eo(7), linux(7, CLOSE))
    assert credits(rig, acks) == [(7, 4), (7, UNITS + 4)]
    assert not rig.c.flows[7].open
    driver.post(linux(7, traffic_class=5), eo(7, compl=1))
    assert credits(rig, acks) == [(7, 4), (7, UNITS)]
    assert rig.c.flows[7].traffic_class == 5
    driver.post(linux(7, CLOSE), eo(7))
    assert credits(rig, acks) == [(7, 4)]
    assert driver.halted
    assert len(outlet.frames()) == 2


def test_a_flow_can_change_its_class_and_keeps_what_is_not_named(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7), eo(7), flowc(7, (FlowParameter.SCHEDCLASS, 9)))
    assert credits(rig, acks) == [(7, 4), (7, UNITS + 1)]
    assert (rig.c.flows[7].traffic_class, rig.c.flows[7].ingress) == (9, IQ)


# Rates


def test_flows_in_a_class_of_mode_flow_have_its_rate_each(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    """At 1 Mbit/s a frame of 250 bytes takes 2 ms, and five have room in the burst."""
    second = TxDriver(rig.host, number=81, kind=EgressKind.OFFLOAD, entries=511)
    rig.engine.limit(0, 2, 1000, per_flow=True)
    driver.post(linux(7), *[eo(7)] * 50)
    second.post(linux(8), *[eo(8)] * 50)
    rig.run()
    assert len(outlet.frames()) == 2 * 6
    rig.run(10 * MS)
    assert len(outlet.frames()) == 2 * 5
    rig.engine.limit(0, 2, 1000, per_flow=False)
    rig.run()
    assert len(outlet.frames()) == 6
    rig.run(10 * MS)
    assert len(outlet.frames()) == 5


def test_a_flow_that_waits_for_its_rate_is_acknowledged_when_it_has_sent(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    rig.engine.limit(0, 2, 1000, per_flow=True)
    driver.post(linux(7), *[eo(7)] * 6, eo(7, compl=1))
    assert credits(rig, acks) == [(7, 4)]
    rig.now += 2 * MS - 1
    assert credits(rig, acks) == []
    rig.now += 1
    assert credits(rig, acks) == [(7, 7 * UNITS)]
    assert len(outlet.frames()) == 7


# What ends flows


def test_flows_end_with_their_function(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7), eo(7))
    rig.run()
    rig.engine.stop(3)
    assert rig.c.flows[7].open
    rig.engine.stop(4)
    assert (rig.c.flows[7].open, rig.c.flows[7].units) == (0, 0)


def test_a_snapshot_has_flows_and_what_is_to_be_acknowledged(
    rig: Rig, outlet: Outlet, driver: TxDriver
) -> None:
    acks = RxDriver(rig.host, number=IQ, entries=2)
    driver.post(linux(7), eo(7), eo(7, compl=1), eo(7, compl=1))
    rig.run()
    saved = save(rig.c)
    rig.engine.stop(-1)
    load(rig.c, saved)
    got = credits(rig, acks)
    got += credits(rig, acks) + credits(rig, acks)
    assert got == [(7, 4), (7, 2 * UNITS), (7, UNITS)]


# Nonsense


NONSENSE = {
    "a flow beyond the last": linux(FLOWS),
    "the highest number of a flow": linux(0xFFFFF),
    "a frame of a flow that is not open": eo(9),
    "a frame of a flow beyond the last": eo(FLOWS + 7),
    "more parameters than it has room for": flowc(9, (0, 0), nparams=6),
    "255 parameters": flowc(9, *[(0, 0)] * 30, nparams=255),
    "an unknown parameter": flowc(9, (FlowParameter.MAX, 0)),
    "the last unknown parameter": flowc(9, (255, 0)),
    "a class of none": flowc(9, (FlowParameter.SCHEDCLASS, 16)),
    "a class whose lower byte is one": flowc(9, (FlowParameter.SCHEDCLASS, 0x100)),
    "a channel of none": flowc(9, (FlowParameter.CH, 4)),
    "a channel whose lower byte is one": flowc(9, (FlowParameter.CH, 0x10000)),
    "a queue of none": flowc(9, (FlowParameter.IQID, 500)),
    "a queue beyond the last": flowc(9, (FlowParameter.IQID, 0x10000 + IQ)),
    "another function's queue": flowc(9, (FlowParameter.IQID, 50)),
    "another function's flow": linux(5),
    "a state of none": flowc(9, (FlowParameter.EOSTATE, 0)),
    "another state of none": flowc(9, (FlowParameter.EOSTATE, 3)),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_halts_its_queue_and_no_flow_changes(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver, name: str
) -> None:
    RxDriver(rig.host, number=50, free_list=66)
    rig.c.ingress[50].pf = 3
    rig.c.flows[5].open, rig.c.flows[5].pf = 1, 3
    flows = ffi.buffer(ffi.addressof(rig.c, "flows"))
    before = bytes(flows)
    driver.post(NONSENSE[name])
    rig.run()
    assert [(each.kind.name, each.queue) for each in rig.troubles] == [("WORK_REQUEST", 80)]
    assert driver.halted
    assert bytes(flows) == before
    assert outlet.frames() == []
    assert acks.poll() == []


@pytest.mark.parametrize("kind", [EgressKind.ETHERNET, EgressKind.CONTROL])
def test_only_queues_for_offload_have_flows(
    rig: Rig, outlet: Outlet, acks: RxDriver, kind: EgressKind
) -> None:
    """Linux sends ETH_TX_EO without a flow on Ethernet queues, for UDP segments."""
    driver = TxDriver(rig.host, kind=kind, entries=511)
    driver.post(eo(0, compl=1), eo(9, compl=1), linux(7))
    assert credits(rig, acks) == []
    assert len(outlet.frames()) == 2
    assert driver.halted
    assert not any(flow.open for flow in rig.c.flows)


def test_frames_of_other_requests_on_a_queue_for_offload_are_of_no_flow(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    rig.engine.limit(0, 2, 1, per_flow=True)
    driver.post(linux(7), eo(7), *[inline(FRAME)] * 3)
    assert credits(rig, acks) == [(7, 4)]
    assert len(outlet.frames()) == 4
    assert rig.c.flows[7].units == UNITS


def test_an_acknowledgement_to_a_queue_that_is_gone_holds_nothing_up(
    rig: Rig, outlet: Outlet, driver: TxDriver, acks: RxDriver
) -> None:
    driver.post(linux(7))
    rig.run()
    rig.engine.stop_ingress(IQ)
    driver.post(*[eo(7, compl=1)] * 3)
    rig.run()
    assert len(outlet.frames()) == 3


def test_a_function_gets_no_credits_of_anothers(rig: Rig, outlet: Outlet, driver: TxDriver) -> None:
    """A flow is closed while its credits have no room, and another function opens it."""
    acks = RxDriver(rig.host, number=IQ, entries=2)
    driver.post(linux(7), linux(7, CLOSE))
    rig.run()
    other, others = (
        TxDriver(rig.host, number=81, kind=EgressKind.OFFLOAD),
        RxDriver(rig.host, number=41, free_list=65),
    )
    rig.c.egress[81].pf = rig.c.ingress[41].pf = 3
    other.post(linux(7, iq=41), eo(7))
    assert credits(rig, others) == [(7, 4)]
    assert credits(rig, acks) == [(7, 4)]
    assert credits(rig, acks) == []
    assert credits(rig, others) == []
    assert rig.c.flows[7].units == UNITS


def test_requests_at_random_do_no_harm(rig: Rig, outlet: Outlet, acks: RxDriver) -> None:
    """Each halts its queue or is done, and what comes after it on another queue is sent."""
    chance = random.Random(1)
    for number in range(600):
        data = bytearray(chance.choice([linux(7), linux(7, CLOSE), eo(7, compl=1), eo(8)]))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        driver = TxDriver(rig.host, number=100 + number, kind=EgressKind.OFFLOAD, entries=31)
        driver.post(bytes(data))
        rig.run(MS)
        acks.gts(len(acks.poll()))
        outlet.frames()
    good = TxDriver(rig.host, number=99, kind=EgressKind.OFFLOAD, ingress=IQ, entries=31)
    good.post(linux(6), eo(6, compl=1))
    assert credits(rig, acks)[-2:] == [(6, 4), (6, UNITS)]
    assert outlet.frames()[-1:] == [FRAME]
    assert lib.ENGINE_FLOWS == FLOWS
