"""Registers in a dictionary behind the reference `Io`: for tests of hw that need no transport."""

from __future__ import annotations

from collections.abc import Callable

from vmcoredd.hw.io import Counts, SingleIo


class RamSpace(SingleIo):
    """Words by offset, 0 unless set. `on_read` and `on_write` replace or follow an access.

    `log` lists the accesses as ("r" or "w", offset, value). Use it as BAR0 and as config space.
    """

    def __init__(self, words: dict[int, int] | None = None) -> None:
        self.words = dict(words or {})
        self.on_read: dict[int, Callable[[], int]] = {}
        self.on_write: dict[int, Callable[[int], None]] = {}
        self.log: list[tuple[str, int, int]] = []
        self.counts = Counts()

    @property
    def config(self) -> RamSpace:
        """Configuration space: another space, made on first use."""
        self.__dict__.setdefault("_config", RamSpace())
        found: RamSpace = self.__dict__["_config"]
        return found

    def read(self, offset: int, width: int = 4) -> int:
        low = self._word(offset)
        value = low if width == 4 else self._word(offset + 4) << 32 | low
        self.log.append(("r", offset, value))
        return value

    def _word(self, offset: int) -> int:
        return self.on_read[offset]() if offset in self.on_read else self.words.get(offset, 0)

    def write(self, offset: int, value: int, width: int = 4) -> None:
        self.log.append(("w", offset, value))
        self.words[offset] = value
        if offset in self.on_write:
            self.on_write[offset](value)
