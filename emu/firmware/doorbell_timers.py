"""The doorbell queue timers of a T6: how long the card gathers completions of a queue.

A tick in core clock cycles, and eight multiples of it, are in registers. The engine tells a driver
of completions at once when a queue runs idle, so no timer is ever waited for.
"""

from __future__ import annotations

from vmcoredd.chip.firmware import Retval
from vmcoredd.chip.sge import DOORBELL_TIMERS, doorbell_timer
from vmcoredd.emu.firmware.answers import Refused
from vmcoredd.emu.firmware.firmware import Firmware

BOOT_TICK_US = 50
"""The tick that firmware sets (assumed)."""


def tick(fw: Firmware) -> int:
    """Returns the tick in microseconds; Refused on a chip without these timers."""
    _check(fw)
    register = fw.r.SGE_GK_CONTROL2
    return register.get(fw.spaces.get(register), "dbq_timer_tick") // _cycles_per_us(fw)


def set_tick(fw: Firmware, microseconds: int) -> None:
    """Sets the tick; Refused if its register cannot hold it."""
    _check(fw)
    cycles, field = microseconds * _cycles_per_us(fw), fw.r.SGE_GK_CONTROL2.field("dbq_timer_tick")
    if not 0 < cycles < 1 << field.width:
        raise Refused(Retval.EINVAL, f"a tick of {microseconds} us")
    fw.spaces.put(fw.r.SGE_GK_CONTROL2, dbq_timer_tick=cycles)


def timer(fw: Firmware, number: int) -> int:
    """Returns a timer in microseconds; Refused if there is none of this number."""
    _check(fw)
    if number >= DOORBELL_TIMERS:
        raise Refused(Retval.EINVAL, f"doorbell queue timer {number}")
    name, field = doorbell_timer(number)
    return fw.r[name].get(fw.spaces.get(fw.r[name]), field) * tick(fw)


def present(fw: Firmware) -> bool:
    """Returns whether the chip has these timers."""
    return "SGE_DBQ_TIMER_THRESH0" in fw.r


def _check(fw: Firmware) -> None:
    if not present(fw):
        raise Refused(Retval.EINVAL, f"a {fw.chip} has no doorbell queue timers")


def _cycles_per_us(fw: Firmware) -> int:
    return fw.profile.card.core_clock // 1000
