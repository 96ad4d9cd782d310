"""What a card does of its own accord while a trace is replayed: waited for, and compared.

That is what it writes to the host's memory, and its interrupts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from vmcoredd.trace.records import Kind, Record, Source
from vmcoredd.trace.replay.ahead import Ahead
from vmcoredd.trace.replay.interrupts import Interrupts
from vmcoredd.trace.replay.memory import HostMemory, is_control, without_time
from vmcoredd.trace.replay.report import Report

IMPATIENCE = 0.02
"""Seconds to wait, once something has not come in time PATIENT_TIMES."""
PATIENT_TIMES = 3
_PAUSE = 0.0002

Differs = Callable[[int, Record, bytes | str], object]
"""Is told the number of a record, the record, and the bytes that came instead, or what happened."""


@dataclass
class Patience:
    """How long to wait for what the card had done when it was recorded."""

    longest: float
    """Seconds."""
    in_vain: int = 0
    """How often something has not come."""

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        patient = self.in_vain < PATIENT_TIMES
        return self.longest if patient else min(IMPATIENCE, self.longest)

    def comes(self, has_come: Callable[[], bool]) -> bool:
        """Waits until something has come; returns whether it has."""
        end = time.monotonic() + self.seconds
        while not has_come():
            if time.monotonic() > end:
                self.in_vain += 1
                return False
            time.sleep(_PAUSE)
        return True


class CardsPart:
    """What the card has to do before the driver's next access.

    `outside`: the ports whose frames come from outside the card.
    """

    interrupts: Interrupts | None = None
    """Those of the connected client."""

    def __init__(
        self,
        report: Report,
        memory: HostMemory,
        records: Ahead,
        patience: Patience,
        outside: Set[int],
        differs: Differs,
    ) -> None:
        self._report, self._memory, self._records = report, memory, records
        self._patience, self._outside, self._differs = patience, outside, differs
        self._expected: list[tuple[int, Record]] = []
        self._before: Record | None = None
        self._is_fed = False

    @property
    def is_expected(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self._expected)

    def expect(self, index: int, record: Record) -> None:
        """Adds a record to what is waited for, if it is the card's own."""
        if record.source == Source.ENGINE:
            self._expected.append((index, record))

    def settle(self, index: int) -> None:
        """Waits for what the card had done before the record `index`, and compares it."""
        expected, self._expected = self._expected, []
        for place, (number, record) in enumerate(expected):
            if record.kind == Kind.DMA_WRITE:
                self._written(number, record, [later for _, later in expected[place + 1 :]])
            elif record.kind == Kind.INTERRUPT and record.value:
                self._interrupted(number, record)
            elif record.kind == Kind.DMA_READ:
                self._read(record)
            elif record.kind == Kind.FRAME_RECEIVED and record.detail in self._outside:
                self._fed()
        self._memory.pass_by(index - 1)

    def _read(self, record: Record) -> None:
        if record.carried < record.length and not record.error:
            self._memory.is_cut = True
            self._report.left_out["DMA reads of more than was recorded"] += 1

    def _fed(self) -> None:
        self._is_fed = True
        self._report.left_out["frames that came from outside"] += 1

    def _written(self, index: int, record: Record, later: list[Record]) -> None:
        before, self._before = self._before, record
        if record.error or not record.carried or _covers(record, later):
            return
        self._report.compared["DMA write"] += 1
        timed = is_control(record, before)
        wanted = {_seen(record.data, timed=timed)}
        wanted |= {_seen(one.data, timed=timed) for one in self._coming_writes(record)}
        came = b""

        def has_come() -> bool:
            nonlocal came
            came = self._memory.read(record)
            return _seen(came, timed=timed) in wanted

        if self._patience.comes(has_come):
            return
        if self._memory.is_cut or self._is_fed:
            self._report.left_out["DMA writes that differ for that reason"] += 1
        else:
            self._differs(index, record, came)

    def _coming_writes(self, record: Record) -> Iterator[Record]:
        """Yields what is written to the same place soon: it may have come sooner."""
        for _, coming in self._records.view:
            if (
                coming.kind == Kind.DMA_WRITE
                and coming.address == record.address
                and coming.carried == record.carried
            ):
                yield coming

    def _interrupted(self, index: int, record: Record) -> None:
        self._report.compared["interrupt"] += 1
        interrupts = self.interrupts
        if interrupts is None or self._patience.comes(lambda: interrupts.came(record)):
            return
        if interrupts.has_had(record):
            self._report.left_out["interrupts that came joined"] += 1
        elif self._is_fed or self._memory.is_cut:
            self._report.left_out["interrupts that did not come for that reason"] += 1
        else:
            self._differs(index, record, "nothing")


def _covers(record: Record, later: list[Record]) -> bool:
    """Returns whether a later DMA writes to the same place before anybody looks."""
    end = record.address + record.carried
    return any(
        one.kind == Kind.DMA_WRITE
        and one.address < end
        and record.address < one.address + one.length
        for one in later
    )


def _seen(data: bytes, *, timed: bool) -> bytes:
    return without_time(data) if timed else data
