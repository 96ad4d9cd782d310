"""Commands about queues: what the engine gets of them, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from emumail import Mailbox

from vmcoredd.chip.firmware import Bye, EqCtrl, EqEth, Hello, Iq, Params, Retval, Vi, param
from vmcoredd.chip.firmware.params import Dmaq
from vmcoredd.emu import Card
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.engine import NO_QUEUE, EgressKind, EgressRing, IngressRing, InterfaceRow
from vmcoredd.emu.engine.tables import fill

RING = 0x1_0000_0000


def iq(**values: int) -> Iq:
    """What cxgb4 asks for: an ingress queue of 1024 entries with a packed free list of 72 buffers.
    `values` replace its own."""
    asked = {
        "alloc": 1,
        "iqstart": 1,
        "iqanud": 1,
        "iqandstindex": 5,
        "iqintcntthresh": 2,
        "iqesize": 2,
        "iqsize": 1024,
        "iqaddr": RING,
        "fl0size": 10,
        "fl0addr": RING + 0x20000,
        "fl0packen": 1,
        "fl0paden": 1,
    }
    return Iq(**(asked | values))


def eq(**values: int) -> EqEth:
    """What cxgb4 asks for on a T6, at 1025 descriptors."""
    asked = {
        "alloc": 1,
        "eqstart": 1,
        "hostfcmode": 2,
        "iqid": 33,
        "cidxfthresh": 5,
        "eqsize": 1025,
        "eqaddr": RING + 0x40000,
        "autoequeqe": 1,
    }
    return EqEth(**(asked | values))


def shown(entry: Any, row: type[Any]) -> Any:
    """What the engine's entry says, as firmware's record."""
    return row(**{field.name: getattr(entry, field.name) for field in dataclasses.fields(row)})


@pytest.mark.parametrize(("iqanud", "told"), [(0, (0, 0)), (1, (1, 0)), (2, (0, 1)), (3, (1, 1))])
def test_an_ingress_queue_tells_of_entries_by_interrupt_and_status_entry(
    strict_card: Card, mail: Mailbox, iqanud: int, told: tuple[int, int]
) -> None:
    """DPDK polls the status entry (2); others want interrupts (1)."""
    viid = mail.do(Vi(alloc=1, portid=0)).viid
    queue = strict_card.engine.c.ingress[mail.do(iq(viid=viid, iqanud=iqanud)).iqid]
    assert (queue.interrupts, queue.tells_status) == told


def test_an_ingress_queue_and_its_free_list_reach_the_engine(
    strict_card: Card, mail: Mailbox
) -> None:
    viid = mail.do(Vi(alloc=1, portid=1)).viid
    reply = mail.do(iq(viid=viid))
    engine = strict_card.engine.c
    assert shown(engine.ingress[reply.iqid], IngressRing) == IngressRing(
        pf=4,
        port=1,
        interface=viid,
        address=RING,
        entries=1023,
        entry_bytes=64,
        interrupts=1,
        threshold=2,
        vector=5,
        free_list=reply.fl0id,
    )
    assert shown(engine.egress[reply.fl0id], EgressRing) == EgressRing(
        kind=EgressKind.FREE_LIST,
        pf=4,
        port=1,
        interface=viid,
        address=RING + 0x20000,
        entries=9,
        status_bytes=64,
        ingress=reply.iqid,
        packing=1,
        padding=1,
    )


def test_each_free_list_has_a_context_of_its_own_in_the_manager(
    strict_card: Card, mail: Mailbox
) -> None:
    one = mail.do(iq(fl1size=10, fl1addr=RING + 0x21000))
    two = mail.do(iq())
    lists = (one.fl0id, one.fl1id, two.fl0id)
    assert len(set(lists)) == 3
    assert [strict_card.engine.c.egress[fl].flm for fl in lists] == [0, 1, 2]
    mail.do(Iq(free=1, iqid=one.iqid, fl0id=one.fl0id, fl1id=one.fl1id))
    assert strict_card.engine.c.egress[mail.do(iq()).fl0id].flm == 0


def test_an_egress_queue_reaches_the_engine(strict_card: Card, mail: Mailbox) -> None:
    ring = strict_card.engine.c.egress[mail.do(eq()).eqid]
    assert shown(ring, EgressRing) == EgressRing(
        kind=EgressKind.ETHERNET,
        pf=4,
        port=0,
        address=RING + 0x40000,
        entries=1024,
        status_bytes=64,
        ingress=33,
        host_flow_control=2,
        flush_threshold=5,
        auto_status=1,
    )


def test_a_status_page_has_the_size_that_sge_control_says(strict_card: Card, mail: Mailbox) -> None:
    r = strict_card.chip.r
    strict_card.core.spaces.set_bits(r.SGE_CONTROL, "EgrStatusPageSize")
    ring = strict_card.engine.c.egress[mail.do(eq(eqsize=1026)).eqid]
    assert (ring.entries, ring.status_bytes) == (1024, 128)


def test_a_control_queue_belongs_to_the_port_of_its_channel(
    strict_card: Card, mail: Mailbox
) -> None:
    command = EqCtrl(alloc=1, eqstart=1, pciechn=1, eqsize=513, hostfcmode=2)
    ring = strict_card.engine.c.egress[mail.do(command).eqid]
    assert (ring.kind, ring.port, ring.entries) == (EgressKind.CONTROL, 1, 512)


def test_queues_start_and_stop(strict_card: Card, mail: Mailbox) -> None:
    received, sent = mail.do(iq(iqstart=0)).iqid, mail.do(eq(eqstart=0)).eqid
    engine = strict_card.engine.c
    assert (engine.ingress[received].halted, engine.egress[sent].halted) == (1, 1)
    mail.do(Iq(iqstart=1, iqid=received))
    mail.do(EqEth(eqstart=1, eqid=sent))
    assert (engine.ingress[received].halted, engine.egress[sent].halted) == (0, 0)
    mail.do(Iq(iqstop=1, iqid=received))
    mail.do(EqEth(eqstop=1, eqid=sent))
    assert (engine.ingress[received].halted, engine.egress[sent].halted) == (1, 1)


def test_a_queues_threshold_can_be_changed(strict_card: Card, mail: Mailbox) -> None:
    number = mail.do(iq()).iqid
    which = param(Dmaq.IQ_INTCNTTHRESH, number >> 8, number & 0xFF)
    mail.do(Params.writing([(which, 3)]))
    assert strict_card.engine.c.ingress[number].threshold == 3
    assert mail.call(Params.writing([(which, 4)])).retval == Retval.EINVAL
    mail.do(Iq(modify=1, iqid=number, iqintcntthresh=1))
    assert strict_card.engine.c.ingress[number].threshold == 1


def test_freed_queues_are_gone_from_the_engine(strict_card: Card, mail: Mailbox) -> None:
    received, sent = mail.do(iq()), mail.do(eq()).eqid
    mail.do(Iq(free=1, iqid=received.iqid, fl0id=received.fl0id, fl1id=NO_QUEUE))
    mail.do(EqEth(free=1, eqid=sent))
    assert used(strict_card) == ([], [])


@pytest.mark.parametrize("end", [Bye(), Hello(masterforce=1, mbmaster=4)], ids=["bye", "hello"])
def test_a_driver_that_leaves_or_comes_again_has_no_queues(
    strict_card: Card, mail: Mailbox, end: Bye | Hello
) -> None:
    mail.do(iq())
    mail.do(eq())
    mail.do(end)
    assert used(strict_card) == ([], [])


def test_a_reset_takes_queues_away(strict_card: Card, mail: Mailbox) -> None:
    mail.do(iq())
    strict_card.reset()
    assert used(strict_card) == ([], [])


def used(card: Card) -> tuple[list[int], list[int]]:
    """The ids of the queues that the engine works on: ingress, egress."""
    engine = card.engine.c
    return (
        [number for number in range(1024) if engine.ingress[number].entries],
        [number for number in range(1024) if engine.egress[number].kind],
    )


def test_a_snapshot_has_the_queues_and_their_indices(strict_card: Card, mail: Mailbox) -> None:
    number, sent = mail.do(iq()).iqid, mail.do(eq()).eqid
    engine = strict_card.engine.c
    engine.ingress[number].pidx, engine.ports[1].event_due[3] = 77, 1 << 4
    engine.ports[1].event[7] = 0xE0
    engine.egress_changed[1] = 1 << sent - 64
    saved = strict_card.snapshot()
    mail.do(Bye())
    engine.ports[1].event_due[3] = engine.ports[1].event[7] = engine.egress_changed[1] = 0
    strict_card.restore(saved)
    assert engine.ingress[number].pidx == 77
    assert (engine.ports[1].event_due[3], engine.ports[1].event[7]) == (1 << 4, 0xE0)
    assert engine.egress_changed[1] == 1 << sent - 64
    assert strict_card.engine.c.egress[sent].address == RING + 0x40000
    assert mail.call(EqEth(free=1, eqid=sent)).retval == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"iqsize": 0},
        {"iqsize": 1000},
        {"iqaddr": RING + 64},
        {"iqaddr": 0xFFFF_FFFF_FFFF_F000},
        {"iqandst": 1, "iqandstindex": 60},
        {"iqandstindex": 0xFFF},
        {"iqpciech": 3},
        {"fl0size": 1},
        {"fl0addr": RING + 8},
        {"fl1size": 1},
    ],
    ids=str,
)
def test_a_senseless_ingress_queue_is_refused(
    strict_card: Card, mail: Mailbox, wrong: dict[str, int]
) -> None:
    assert mail.call(iq(**wrong)).retval == Retval.EINVAL
    assert used(strict_card) == ([], [])


@pytest.mark.parametrize(
    "wrong",
    [{"eqsize": 0}, {"eqsize": 1}, {"eqaddr": RING + 64}, {"eqaddr": 0xFFFF_FFFF_FFFF_F000}],
    ids=str,
)
def test_a_senseless_egress_queue_is_refused(
    strict_card: Card, mail: Mailbox, wrong: dict[str, int]
) -> None:
    assert mail.call(eq(**wrong)).retval == Retval.EINVAL
    assert used(strict_card) == ([], [])


def test_another_functions_queue_and_another_kind_are_refused(
    strict_card: Card, mail: Mailbox
) -> None:
    received, sent = mail.do(iq()), mail.do(eq()).eqid
    other = Mailbox(strict_card, pf=5)
    freed = Iq(free=1, iqid=received.iqid, fl0id=received.fl0id, fl1id=NO_QUEUE)
    assert other.call(freed).retval == Retval.EINVAL
    assert other.call(EqEth(free=1, eqid=sent)).retval == Retval.EINVAL
    assert mail.call(EqCtrl(free=1, eqid=sent)).retval == Retval.EINVAL
    assert mail.call(EqEth(free=1, eqid=received.fl0id)).retval == Retval.EINVAL
    another = mail.do(iq())
    for list_id in (sent, another.fl0id):
        freed.fl0id = list_id
        assert mail.call(freed).retval == Retval.EINVAL
    assert used(strict_card)[0] == [received.iqid, another.iqid]
    assert used(strict_card)[1] == [received.fl0id, sent, another.fl0id]


def test_every_field_of_a_record_is_one_of_the_engines() -> None:
    engine = ffi.new("struct engine *")
    rings = {"kind": EgressKind.NONE, "pf": 0, "port": 0, "address": 0, "entries": 0}
    fill(engine.egress[0], EgressRing(**rings, status_bytes=0))
    del rings["kind"]
    fill(engine.ingress[0], IngressRing(**rings, entry_bytes=0))
    fill(engine.interfaces[0], InterfaceRow(viid=0, port=0, pf=0))
