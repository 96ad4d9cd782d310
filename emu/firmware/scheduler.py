"""Commands about the transmit schedulers: rates of classes and channels.

The engine sends no faster. The rates are also in the modulation schedulers' registers, where a dump
shows them.
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.firmware import FwCommand, Retval, Sched, SchedParams
from vmcoredd.chip.firmware.queue import SchedLevel, SchedMode, SchedRate, SchedUnit
from vmcoredd.chip.tp import SCHEDULERS, rate_limit
from vmcoredd.emu.engine import NO_CLASS
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import TRAFFIC_CLASSES, Firmware

KBPS_PER_GBPS = 1_000_000
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

    In mode FLOW each flow of the class has that rate, in mode CLASS all together. A class has the
    modulation scheduler of its number, whatever its channel (assumed), if there is one. Lowest
    rates, weights and packet rates are accepted without effect.
    """
    if cmd.ch >= fw.profile.ports.count or cmd.cl >= TRAFFIC_CLASSES:
        raise Refused(Retval.EINVAL, f"class {cmd.cl} of channel {cmd.ch}")
    if cmd.unit == SchedUnit.BITS:
        if cmd.level == SchedLevel.CHANNEL_RATE:
            _limit(fw, cmd, NO_CLASS)
            _show(fw, "C", cmd.ch, _kbps(fw, cmd))
        elif cmd.level == SchedLevel.CLASS_RATE:
            _limit(fw, cmd, cmd.cl)
            _show_class(fw, cmd)
    return cmd.reply()


def remove_limits(fw: Firmware) -> None:
    """Lets all classes and channels send as fast as they can."""
    for port in range(fw.profile.ports.count):
        for number in (*range(TRAFFIC_CLASSES), NO_CLASS):
            fw.engine.limit(port, number, 0)


def _limit(fw: Firmware, cmd: SchedParams, number: int) -> None:
    """Limits a class or, with NO_CLASS, a channel; a port's own speed limits nothing here."""
    kbps = _kbps(fw, cmd)
    wanted = kbps if kbps < fw.profile.ports.speed * KBPS_PER_GBPS else 0
    fw.engine.limit(cmd.ch, number, wanted, per_flow=cmd.mode == SchedMode.FLOW)


def _kbps(fw: Firmware, cmd: SchedParams) -> int:
    """Returns the highest rate; a relative one is in percent of the port's."""
    if cmd.rate == SchedRate.ABSOLUTE:
        return int(cmd.max)
    return fw.profile.ports.speed * KBPS_PER_GBPS // 100 * int(cmd.max)


def _show_class(fw: Firmware, cmd: SchedParams) -> None:
    """Shows the rate of a class, and whose it is, if there is a scheduler of its number."""
    if cmd.cl >= SCHEDULERS:
        return
    _show(fw, "Q", cmd.cl, _kbps(fw, cmd))
    config = fw.r.TP_MOD_CONFIG
    modes = config.get(fw.spaces.get(config), "TimerMode") & ~(1 << cmd.cl)
    fw.spaces.put(config, TimerMode=modes | int(cmd.mode == SchedMode.FLOW) << cmd.cl)


def _show(fw: Firmware, kind: str, number: int, kbps: int) -> None:
    """Stores a limit in the half of a word that belongs to a class or channel."""
    low = number & ~1
    register: Register = fw.r[f"TP_TX_MOD_{kind}{low + 1}_{kind}{low}_RATE_LIMIT"]
    shift = 16 * (number & 1)
    kept = fw.spaces.get(register) & ~(0xFFFF << shift)
    fw.spaces.set(register, kept | rate_limit(kbps, fw.profile.card.core_clock) << shift)
