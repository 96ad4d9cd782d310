"""A trace's records one after the other, with a view of those that come next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from vmcoredd.trace.records import Record

AHEAD = 4096
"""Records that are seen before their turn."""


class Ahead:
    """Records with their numbers; `meet` is told of each when it comes into view."""

    def __init__(
        self, records: Iterable[Record], meet: Callable[[int, Record], None] = lambda *_: None
    ) -> None:
        self._source = iter(records)
        self._meet = meet
        self._next = 0
        self.view: deque[tuple[int, Record]] = deque()
        """Those to come, the next one first."""
        self._look()

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        while self.view:
            yield self.take()

    def take(self) -> tuple[int, Record]:
        """Takes the next record."""
        taken = self.view.popleft()
        self._look()
        return taken

    def _look(self) -> None:
        while len(self.view) < AHEAD and (record := next(self._source, None)) is not None:
            self.view.append((self._next, record))
            self._meet(self._next, record)
            self._next += 1
