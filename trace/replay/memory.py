"""The memory that a replayed client shares with the card: one file, in which an address is an
offset, so that memory keeps its content while it is shared again.

What the card reads is put there as early as it is known: at once, or when what was recorded before
it at the same place is over.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator

from pyvfio_user import Client, DmaFlag, VfioUserError, memory_file
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.message_layouts import Response
from vmcoredd.trace.records import WRITABLE, Kind, Record

ADDRESSES = 1 << 52
"""Physical addresses of x86 and Arm have fewer bits."""
_LINE = 64
_DMA = (Kind.DMA_READ, Kind.DMA_WRITE)


class HostMemory(contextlib.AbstractContextManager["HostMemory"]):
    """The memory, and what of it is shared."""

    def __init__(self, left_out: Counter[str]) -> None:
        self._fd = memory_file("replayed memory", ADDRESSES)
        self._left_out = left_out
        self._last: dict[int, int] = {}
        self._waiting: dict[int, list[Record]] = defaultdict(list)
        self._over = -1
        self.is_cut = False
        """Whether the card has read what the trace has not: what it writes then may differ."""

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    # Sharing

    def share(self, client: Client, address: int, size: int, detail: int) -> None:
        """Shares memory as the recorded client did."""
        if not 0 < size <= ADDRESSES - address:
            self._left_out["shares of memory beyond all addresses"] += 1
            return
        flags = DmaFlag.READ | (DmaFlag.WRITE if detail & WRITABLE else DmaFlag(0))
        with self._refusal_counted():
            client.dma_map(self._fd, address, size, offset=address, flags=flags)

    def unshare(self, client: Client, record: Record) -> None:
        """Shares it no longer."""
        with self._refusal_counted():
            client.dma_unmap(record.address, record.value)

    @contextlib.contextmanager
    def _refusal_counted(self) -> Iterator[None]:
        from pyvfio_user import Refused

        try:
            yield
        except (Refused, OverflowError):
            self._left_out["shares of memory that the server refuses"] += 1
        except VfioUserError:
            raise

    # What the card reads

    def meet(self, index: int, record: Record) -> None:
        """Hears of a record that comes soon: puts there what the card is to read."""
        if record.kind not in _DMA or record.error or not _is_inside(record):
            return
        lines = range(record.address // _LINE, (record.address + record.carried - 1) // _LINE + 1)
        before = max((self._last.get(line, -1) for line in lines), default=-1)
        for line in lines:
            self._last[line] = index
        if record.kind == Kind.DMA_WRITE:
            return
        if before > self._over:
            self._waiting[before].append(record)
        else:
            self._put(record)

    def pass_by(self, index: int) -> None:
        """Hears that all records up to this one are over."""
        self._over = index
        for before in [one for one in self._waiting if one <= index]:
            for record in self._waiting.pop(before):
                self._put(record)
        if len(self._last) > _LINES_KEPT:
            self._last = {line: last for line, last in self._last.items() if last > index}

    def _put(self, record: Record) -> None:
        os.pwrite(self._fd, record.data, record.address)

    # What the card writes

    def read(self, record: Record) -> bytes:
        """Returns what is where a recorded DMA wrote, as much as the trace has of it."""
        return os.pread(self._fd, record.carried, record.address)


_LINES_KEPT = 1 << 16


def _is_inside(record: Record) -> bool:
    return 0 < record.carried <= ADDRESSES - record.address


def is_control(record: Record, before: Record | None) -> bool:
    """Returns whether a DMA writes the last flit of an ingress queue's entry, which has a time."""
    return (
        before is not None
        and before.kind == record.kind == Kind.DMA_WRITE
        and record.length == record.carried == _FLIT
        and before.detail == record.detail
        and before.address + before.length == record.address
    )


_FLIT = 8


def without_time(flit: bytes) -> bytes:
    """Returns an entry's last flit without the card's clock."""
    padded = Response.from_bytes(bytes(sizeof(Response) - _FLIT) + flit)
    padded.timestamp = 0
    return bytes(padded)[-_FLIT:]
