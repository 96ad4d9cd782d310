"""TP: the clocks of TCP's timers, and how long they run."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.emu.silicon.model import Model

TIMER_SHIFT, TIMESTAMP_SHIFT, DELAYED_ACK_SHIFT = 14, 12, 8
"""Ticks: logarithms of core clock cycles (assumed)."""
MILLISECONDS = {
    "TP_RXT_MIN": 200,
    "TP_RXT_MAX": 60_000,
    "TP_PERS_MIN": 500,
    "TP_PERS_MAX": 60_000,
    "TP_KEEP_IDLE": 7_200_000,
    "TP_KEEP_INTVL": 75_000,
    "TP_INIT_SRTT": 1_000,
    "TP_FINWAIT2_TIMER": 60_000,
}
"""In the timers' ticks (assumed: what TCP stacks use)."""
DELAYED_ACK_MILLISECONDS = 40


class Timers(Model):
    """Set by firmware, in ticks of the real core clock; a driver may change them."""

    def wire(self) -> None:
        resolution = self.r.TP_TIMER_RESOLUTION
        word = resolution.of(
            TimerResolution=TIMER_SHIFT,
            TimestampResolution=TIMESTAMP_SHIFT,
            DelayedACKResolution=DELAYED_ACK_SHIFT,
        )
        self.words.plain(resolution, word)
        for name, milliseconds in MILLISECONDS.items():
            self._timer(self.r[name], milliseconds, TIMER_SHIFT)
        self._timer(self.r.TP_DACK_TIMER, DELAYED_ACK_MILLISECONDS, DELAYED_ACK_SHIFT)

    def _timer(self, register: Register, milliseconds: int, shift: int) -> None:
        """The core clock is in kHz."""
        ticks = milliseconds * self.scenario.profile.card.core_clock >> shift
        self.words.plain(register, ticks)
