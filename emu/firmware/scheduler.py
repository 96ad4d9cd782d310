"""Commands about the transmit schedulers: rates of classes and channels.

The rates are in the modulation schedulers' registers, where a dump shows them; frames are not
slowed down.
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.firmware import FwCommand, Retval, Sched, SchedParams
from vmcoredd.chip.firmware.queue import SchedLevel, SchedRate, SchedUnit
from vmcoredd.chip.tp import SCHEDULERS, rate_limit
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import TRAFFIC_CLASSES, Firmware

CONFIG = 0
"""Sched.sc of a command that only says how many classes there shall be."""


@answers(Sched)
def configure(fw: Firmware, pf: int, cmd: Sched) -> FwCommand:
    """Accepts the number of classes, which is fixed here."""
    if cmd.sc != CONFIG:
        raise Refused(Retval.EINVAL, f"scheduler sub-command {cmd.sc}")
    return cmd.reply()


@answers(SchedParams)
def set_rate(fw: Firmware, pf: int, cmd: SchedParams) -> FwCommand:
    """Sets the highest rate of a class, or of a channel; 0 is none.

    A class has the modulation scheduler of its number, whatever its channel (assumed), if there is
    one. Weights and packet rates are accepted without effect.
    """
    if cmd.ch >= fw.profile.ports.count or cmd.cl >= TRAFFIC_CLASSES:
        raise Refused(Retval.EINVAL, f"class {cmd.cl} of channel {cmd.ch}")
    if cmd.unit == SchedUnit.BITS:
        if cmd.level == SchedLevel.CHANNEL_RATE:
            _limit(fw, "C", cmd.ch, _kbps(fw, cmd))
        elif cmd.level == SchedLevel.CLASS_RATE and cmd.cl < SCHEDULERS:
            _limit(fw, "Q", cmd.cl, _kbps(fw, cmd))
    return cmd.reply()


def _kbps(fw: Firmware, cmd: SchedParams) -> int:
    """Returns the highest rate; a relative one is in percent of the port's."""
    if cmd.rate == SchedRate.ABSOLUTE:
        return int(cmd.max)
    return fw.profile.ports.speed * 10_000 * int(cmd.max)


def _limit(fw: Firmware, kind: str, number: int, kbps: int) -> None:
    """Stores a limit in the half of a word that belongs to a class or channel."""
    low = number & ~1
    register: Register = fw.r[f"TP_TX_MOD_{kind}{low + 1}_{kind}{low}_RATE_LIMIT"]
    shift = 16 * (number & 1)
    kept = fw.spaces.get(register) & ~(0xFFFF << shift)
    fw.spaces.set(register, kept | rate_limit(kbps, fw.profile.card.core_clock) << shift)
