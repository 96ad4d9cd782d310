"""An adapter all of whose reads are the same: all ones, as of one that does not answer, or zero."""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Check, Counts, Op, Poll, Put, Rows, SingleIo, kept_bytes, table_of


class FlatIo(SingleIo):
    """Every byte that is read is `byte`; writes do nothing. A poll that fails does so at once.

    Use it as BAR0 and as config space.
    """

    def __init__(self, byte: int) -> None:
        self._byte = bytes([byte])
        self.counts = Counts()

    @property
    def config(self) -> FlatIo:
        """Configuration space reads the same."""
        return self

    def read(self, offset: int, width: int = 4) -> int:
        return int.from_bytes(self._byte * width, "little")

    def write(self, offset: int, value: int, width: int = 4) -> None:
        pass

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """Runs a program without going through its rows, which are all alike."""
        if not table_of(rows)[0]:
            return super().run(ops, rows, out)
        for op in ops:
            if isinstance(op, Poll | Check) and op.error and self.read(0) & op.mask != op.wanted:
                raise DeviceError(op.error, "every read is the same")
        if any(isinstance(op, Put) for op in ops):
            return super().run(ops, rows, out)
        size = kept_bytes(ops, rows)
        into = memoryview(bytearray(size)) if out is None else out[:size]
        into[:] = self._byte * size
        return into


class CountingIo(SingleIo):
    """The value of each read tells its number."""

    _MARK = 0x5A00_0000

    def __init__(self) -> None:
        self._reads = 0
        self.counts = Counts()

    @property
    def config(self) -> CountingIo:
        """Configuration space counts on."""
        return self

    def read(self, offset: int, width: int = 4) -> int:
        self._reads += 1
        word = self._MARK + 2 * self._reads
        return word if width == WORD_BYTES else word + 1 << 32 | word

    def write(self, offset: int, value: int, width: int = 4) -> None:
        pass

    def number_of(self, word: int) -> int:
        """Returns where in the order a word was read; -1 if it was computed."""
        number = word - self._MARK
        return number if 2 <= number <= 2 * self._reads + 1 else -1
