"""Requests of control queues, and their replies."""

from __future__ import annotations

import pytest
from rxdriver import Rig, RxDriver
from txdriver import TxDriver, make, request, tp

from vmcoredd.chip.layout import BigStruct
from vmcoredd.chip.message_layouts import (
    Immediate,
    L2tWriteReq,
    RssHeader,
    SetTcbField,
    SetTcbRpl,
    SmtWriteReq,
    UlpTxPkt,
    WriteRpl,
)
from vmcoredd.chip.messages import Cpl, ScatterGather, UlpTx, WorkRequest
from vmcoredd.emu.engine import EgressKind

EVENTS = 33
"""The queue that gets replies."""


@pytest.fixture
def events(rig: Rig) -> RxDriver:
    return RxDriver(rig.host, number=EVENTS, entries=7)


@pytest.fixture
def driver(rig: Rig) -> TxDriver:
    return TxDriver(rig.host, kind=EgressKind.CONTROL)


def l2t(index: int, **fields: int) -> bytes:
    cpl = make(L2tWriteReq, opcode=Cpl.L2T_WRITE_REQ, qid=EVENTS, index=index, **fields)
    return tp(cpl)


def set_field(cookie: int, **fields: int) -> bytes:
    """Returns the CPL alone."""
    base = {"opcode": Cpl.SET_TCB_FIELD, "tid": 0x1234, "queueno": EVENTS, "cookie": cookie}
    return make(SetTcbField, **(base | fields))


def replies(rig: Rig, events: RxDriver, layout: type[BigStruct]) -> list[BigStruct]:
    """Returns the replies that have come; each names its queue and its opcode twice."""
    rig.run()
    got = events.poll()
    events.gts(len(got))
    for each in got:
        header = RssHeader.from_bytes(each.cpl)
        assert (header.qid, header.opcode) == (EVENTS, each.cpl[8])
    return [layout.from_bytes(each.cpl[8:]) for each in got]


SYNC = 1 << 12
"""A bit of the index that the driver wants back (SYNC_WR_F)."""


def test_a_neighbour_that_is_written_has_a_reply_with_its_tid(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    driver.post(l2t(5 | SYNC))
    (reply,) = replies(rig, events, WriteRpl)
    assert (reply.opcode, reply.status) == (Cpl.L2T_WRITE_RPL, 0)
    assert reply.tid == EVENTS << 14 | 5 | SYNC


def test_a_neighbour_that_is_written_without_reply_has_none(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    driver.post(l2t(5, noreply=1))
    assert replies(rig, events, WriteRpl) == []
    assert driver.cidx == driver.pidx


def test_a_source_mac_that_is_written_has_a_reply(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    cpl = make(SmtWriteReq, opcode=Cpl.SMT_WRITE_REQ, qid=EVENTS, index=7, idx=7)
    driver.post(tp(cpl), tp(make(SmtWriteReq, opcode=Cpl.SMT_WRITE_REQ, norpl=1)))
    (reply,) = replies(rig, events, WriteRpl)
    assert (reply.opcode, reply.status, reply.tid) == (Cpl.SMT_WRITE_RPL, 0, EVENTS << 14 | 7)


def test_a_field_of_a_connection_that_is_set_has_a_reply_with_its_cookie(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    driver.post(tp(set_field(3)), tp(set_field(4, no_reply=1)))
    (reply,) = replies(rig, events, SetTcbRpl)
    assert (reply.opcode, reply.tid, reply.cookie) == (Cpl.SET_TCB_RPL, 0x1234, 3)
    assert reply.status == 0


def ulp(*cpls: bytes) -> bytes:
    """Returns FW_ULPTX_WR with a message for each CPL."""
    body = b""
    for cpl in cpls:
        inner = make(Immediate, cmd=ScatterGather.IMM, len=len(cpl)) + cpl
        inner += bytes(-(8 + len(inner)) % 16)
        body += make(UlpTxPkt, cmd=UlpTx.PKT, len=(8 + len(inner)) // 16) + inner
    return request(body, immediate=0, op=WorkRequest.ULPTX)


def test_each_message_of_a_work_request_has_its_reply_once_though_the_queue_is_short(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    assert events.entries < 30
    for first in range(0, 30, 6):
        driver.post(ulp(*(set_field(0, tid=n) for n in range(first, first + 6))))
    tids: list[int] = []
    while got := replies(rig, events, SetTcbRpl):
        tids += [each.tid for each in got]
    assert tids == list(range(30))
    assert driver.cidx == driver.pidx


@pytest.mark.parametrize(
    "body", [bytes(16), make(UlpTxPkt, cmd=UlpTx.PKT, len=9) + bytes(8),
             make(UlpTxPkt, cmd=UlpTx.MEM_WRITE, len=1) + bytes(8)],
    ids=["no length", "longer than the request", "not a packet"],
)  # fmt: skip
def test_a_message_that_makes_no_sense_halts_the_queue(
    rig: Rig, driver: TxDriver, body: bytes
) -> None:
    driver.post(request(body, immediate=0, op=WorkRequest.ULPTX))
    rig.run()
    assert driver.halted
    assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]


def test_a_cpl_that_is_not_modelled_is_reported_and_passed_over(
    rig: Rig, driver: TxDriver, events: RxDriver
) -> None:
    driver.post(tp(make(SetTcbField, opcode=Cpl.GET_TCB)), l2t(5))
    (reply,) = replies(rig, events, WriteRpl)
    assert reply.opcode == Cpl.L2T_WRITE_RPL
    assert [each.kind.name for each in rig.troubles] == ["WORK_REQUEST"]
    assert not driver.halted


def test_a_reply_to_a_queue_that_is_not_there_is_dropped(rig: Rig, driver: TxDriver) -> None:
    driver.post(l2t(5), tp(set_field(0, queueno=0x3FFF)))
    rig.run()
    assert driver.cidx == driver.pidx
