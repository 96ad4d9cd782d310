"""Commands about queues: ingress queues with free lists, egress queues of three kinds."""

from __future__ import annotations

from vmcoredd.chip.firmware import EqCtrl, EqEth, EqOfld, FwCommand, Iq, Retval
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Queue, take

NO_QUEUE = 0xFFFF
"""The id for "no free list"."""


def _ingress(fw: Firmware, queue: Queue) -> int:
    share = fw.scenario.queues.functions[queue.pf]
    number = take(fw.state.ingress, share.ingress, share.ingress_count, "ingress queue")
    fw.state.ingress[number] = queue
    return number


def _egress(fw: Firmware, queue: Queue) -> int:
    share = fw.scenario.queues.functions[queue.pf]
    number = take(fw.state.egress, share.egress, share.egress_count, "egress queue")
    fw.state.egress[number] = queue
    return number


def _free(queues: dict[int, Queue], number: int) -> None:
    """Frees a queue; Refused (EINVAL) if it is not allocated."""
    if queues.pop(number, None) is None:
        raise Refused(Retval.EINVAL, f"queue {number} is not allocated")


@answers(Iq)
def iq(fw: Firmware, pf: int, cmd: Iq) -> FwCommand:
    """Allocates, starts, stops or frees an ingress queue and its free lists."""
    if cmd.free:
        return _free_iq(fw, cmd)
    if not cmd.alloc:
        return cmd.reply()
    number = _ingress(fw, Queue("iq", pf, cmd.iqaddr, cmd.iqsize))
    lists = [_egress(fw, Queue("fl", pf, address, size)) for address, size in _lists(cmd)]
    fl0, fl1 = (*lists, NO_QUEUE, NO_QUEUE)[:2]
    return cmd.reply(physiqid=number, iqid=number, fl0id=fl0, fl1id=fl1)


def _lists(cmd: Iq) -> list[tuple[int, int]]:
    """Address and size of the free lists to allocate."""
    lists = ((cmd.fl0addr, cmd.fl0size), (cmd.fl1addr, cmd.fl1size))
    return [(address, size) for address, size in lists if size]


def _free_iq(fw: Firmware, cmd: Iq) -> FwCommand:
    _free(fw.state.ingress, cmd.iqid)
    for number in (cmd.fl0id, cmd.fl1id):
        if number != NO_QUEUE:
            _free(fw.state.egress, number)
    return cmd.reply()


KINDS: dict[type[FwCommand], str] = {EqEth: "eth", EqCtrl: "ctrl", EqOfld: "ofld"}


@answers(EqEth, EqCtrl, EqOfld)
def eq(fw: Firmware, pf: int, cmd: EqEth | EqCtrl | EqOfld) -> FwCommand:
    """Allocates or frees an egress queue; anything else is accepted."""
    if cmd.free:
        _free(fw.state.egress, cmd.eqid)
        return cmd.reply()
    if not cmd.alloc:
        if cmd.eqid not in fw.state.egress:
            raise Refused(Retval.EINVAL, f"egress queue {cmd.eqid} is not allocated")
        return cmd.reply()
    number = _egress(fw, Queue(KINDS[type(cmd)], pf, cmd.eqaddr, cmd.eqsize))
    return cmd.reply(eqid=number, physeqid=number)
