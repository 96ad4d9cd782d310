"""Numbers that the firmware gives out and takes back."""

from __future__ import annotations

from collections.abc import Container

from vmcoredd.chip.firmware import Retval
from vmcoredd.emu.firmware.answers import Refused
from vmcoredd.emu.firmware.state import FirmwareState, Queue


def take(used: Container[int], first: int, count: int, what: str) -> int:
    """The lowest free number of a range; Refused (ENOSPC) if none is left."""
    for number in range(first, first + count):
        if number not in used:
            return number
    raise Refused(Retval.ENOSPC, f"no {what} is free")


def free_queue(queues: dict[int, Queue], number: int) -> None:
    """Takes a queue back; Refused (EINVAL) if it was not given out."""
    if queues.pop(number, None) is None:
        raise Refused(Retval.EINVAL, f"queue {number} is not allocated")


def free_function(state: FirmwareState, pf: int) -> None:
    """Takes back all that a function had."""
    state.ingress = {n: queue for n, queue in state.ingress.items() if queue.pf != pf}
    state.egress = {n: queue for n, queue in state.egress.items() if queue.pf != pf}
    gone = {viid for viid, interface in state.interfaces.items() if interface.pf == pf}
    state.interfaces = {n: i for n, i in state.interfaces.items() if n not in gone}
    state.macs = {n: entry for n, entry in state.macs.items() if entry[0] not in gone}
