"""What happens to a card after a time. Whoever serves it has the clock; until then time stands."""

from __future__ import annotations

from collections.abc import Callable

Function = Callable[[], None]
Clock = Callable[[float, Function], Function]
"""Calls a function so many seconds later, in the thread that serves the card. Returns what ends
the wait before."""


class Alarms:
    """The alarms of one card."""

    def __init__(self) -> None:
        self._clock: Clock | None = None
        self._early: list[_Alarm] = []

    def set(self, seconds: float, function: Function) -> Function:
        """Calls a function so many seconds later. Returns what calls it off."""
        alarm = _Alarm(seconds, function)
        if self._clock is None:
            self._early.append(alarm)
        else:
            alarm.start(self._clock)
        return alarm.call_off

    def start(self, clock: Clock) -> None:
        """Uses a clock from now on, also for the alarms that are set already."""
        self._clock = clock
        while self._early:
            self._early.pop(0).start(clock)


class _Alarm:
    def __init__(self, seconds: float, function: Function) -> None:
        self._seconds, self._function = seconds, function
        self._is_off = False
        self._end_wait: Function | None = None

    def start(self, clock: Clock) -> None:
        if not self._is_off:
            self._end_wait = clock(self._seconds, self._ring)

    def call_off(self) -> None:
        self._is_off = True
        if self._end_wait:
            self._end_wait()

    def _ring(self) -> None:
        """The time may have come just before the alarm was called off."""
        if not self._is_off:
            self._function()
