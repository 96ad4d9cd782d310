"""Commands about queues: ingress queues with free lists, egress queues of three kinds."""

from __future__ import annotations

from vmcoredd.chip.firmware import Command, EqCtrl, EqEth, EqOfld, Iq, Retval
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.resources import free_queue, take
from vmcoredd.emu.firmware.state import Queue

NO_QUEUE = 0xFFFF
"""An id that names no free list."""


def _ingress(fw: Firmware, queue: Queue) -> int:
    share = fw.card.scenario.queues.functions[queue.pf]
    number = take(fw.state.ingress, share.ingress, share.ingress_count, "ingress queue")
    fw.state.ingress[number] = queue
    return number


def _egress(fw: Firmware, queue: Queue) -> int:
    share = fw.card.scenario.queues.functions[queue.pf]
    number = take(fw.state.egress, share.egress, share.egress_count, "egress queue")
    fw.state.egress[number] = queue
    return number


@answers(Iq)
def iq(fw: Firmware, pf: int, ask: Iq) -> Command:
    """Allocates, starts, stops or frees an ingress queue and the free lists that go with it."""
    if ask.free:
        return _free_iq(fw, ask)
    if not ask.alloc:
        return ask.reply()
    number = _ingress(fw, Queue("iq", pf, ask.iqaddr, ask.iqsize))
    lists = [_egress(fw, Queue("fl", pf, address, size)) for address, size in _lists(ask)]
    fl0, fl1 = (*lists, NO_QUEUE, NO_QUEUE)[:2]
    return ask.reply(physiqid=number, iqid=number, fl0id=fl0, fl1id=fl1)


def _lists(ask: Iq) -> list[tuple[int, int]]:
    """Address and size of the free lists that are asked for."""
    lists = ((ask.fl0addr, ask.fl0size), (ask.fl1addr, ask.fl1size))
    return [(address, size) for address, size in lists if size]


def _free_iq(fw: Firmware, ask: Iq) -> Command:
    free_queue(fw.state.ingress, ask.iqid)
    for number in (ask.fl0id, ask.fl1id):
        if number != NO_QUEUE:
            free_queue(fw.state.egress, number)
    return ask.reply()


KINDS: dict[type[Command], str] = {EqEth: "eth", EqCtrl: "ctrl", EqOfld: "ofld"}


@answers(EqEth, EqCtrl, EqOfld)
def eq(fw: Firmware, pf: int, ask: EqEth | EqCtrl | EqOfld) -> Command:
    """Allocates or frees an egress queue; anything else about it is accepted."""
    if ask.free:
        free_queue(fw.state.egress, ask.eqid)
        return ask.reply()
    if not ask.alloc:
        if ask.eqid not in fw.state.egress:
            raise Refused(Retval.EINVAL, f"egress queue {ask.eqid} is not allocated")
        return ask.reply()
    number = _egress(fw, Queue(KINDS[type(ask)], pf, ask.eqaddr, ask.eqsize))
    return ask.reply(eqid=number, physeqid=number)
