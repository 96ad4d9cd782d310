"""A log that a peer cannot flood: of each kind of message it lets a few through, and counts the
others."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+")


class LimitedLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that passes on `BURST` messages of a kind in `PERIOD` seconds.

    Messages that differ only in numbers are of one kind; debug messages are not limited. The first
    message after the period, and `flush`, log what was left out.
    """

    BURST = 10
    PERIOD = 60.0
    KINDS = 100
    """Kinds that are told apart; all others count as one."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})
        self._counts: Counter[str] = Counter()
        self._began = time.monotonic()

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Logs a message, or counts it."""
        if not self.isEnabledFor(level):
            return
        if level < logging.INFO:
            self.logger.log(level, msg, *args, **options)
            return
        if time.monotonic() - self._began > self.PERIOD:
            self.flush()
        text = str(msg) % args if args else str(msg)
        kind = self._kind(text)
        self._counts[kind] += 1
        if self._counts[kind] <= self.BURST:
            self.logger.log(level, "%s", text, **options)
        if self._counts[kind] == self.BURST:
            self.logger.log(level, "more messages like the last are counted, but not shown")

    def flush(self) -> None:
        """Logs how many messages of each kind were left out, and begins a new period."""
        counts, self._counts = self._counts, Counter()
        self._began = time.monotonic()
        for kind, count in counts.items():
            if count > self.BURST:
                self.logger.warning("left out %d times: %s", count - self.BURST, kind)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Leaves a message as it is."""
        return msg, kwargs

    def _kind(self, text: str) -> str:
        kind = NUMBER.sub("#", text)
        return kind if kind in self._counts or len(self._counts) < self.KINDS else "other messages"
