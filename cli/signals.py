"""Ends the command on ^C, SIGTERM and a closed terminal, so that it cleans up as after an error.

This module is imported before the others, which take most of a second, and imports little itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MESSAGES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
STANDARD_STREAMS = (0, 1, 2)
SECONDS_UNTIL_AGAIN = 0.01

Handler = Callable[[int, FrameType | None], Any]


class Ended(SystemExit):
    """A signal ends the command; the exit code is 128 and the signal's number, as in a shell.

    Python runs a signal's handler wherever the main thread happens to be, also where it lets no
    exception out: in a `__del__`, in the callback of a weak reference, in a function that C calls.
    If the exception is lost there, its signal comes again, until the command has `arrived` at its
    end.
    """

    under_way: ClassVar[bool] = False

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number
        self.message = MESSAGES[signal.Signals(number)]
        self.arrived = False
        Ended.under_way = True

    def __del__(self) -> None:
        if self.arrived or sys.is_finalizing():
            return
        Ended.under_way = False
        main = threading.main_thread().ident
        assert main is not None
        again = threading.Timer(SECONDS_UNTIL_AGAIN, signal.pthread_kill, [main, self.number])
        again.daemon = True
        again.start()


def exit_at_once() -> None:
    """Makes the signals end the process without a traceback, while there is nothing to clean up."""

    def leave(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # of a closed terminal
            os.write(2, f"{MESSAGES[signal.Signals(number)]}\n".encode())
        os._exit(128 + number)

    _handle(leave)


def raise_ended() -> None:
    """Makes the first of the signals raise `Ended`; later ones do not disturb the cleaning up."""
    terminals = [stream for stream in STANDARD_STREAMS if os.isatty(stream)]

    def end(number: int, _frame: FrameType | None) -> None:
        if Ended.under_way:
            return
        if number == signal.SIGHUP:
            _leave(terminals)
        raise Ended(number)

    show = sys.unraisablehook

    def show_errors(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Ended):
            show(unraisable)

    sys.unraisablehook = show_errors
    _handle(end)


def _handle(handler: Handler) -> None:
    """Sets the handler of the signals, except those that our parent ignores, as `nohup` does."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(terminals: list[int]) -> None:
    """Points the streams at /dev/null: a write to a closed terminal would fail."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in terminals:
        os.dup2(null, stream)
