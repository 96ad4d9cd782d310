"""Plays the driver's side of a trace to a vfio-user server, and compares its answers.

The accesses are made in the recorded order, one after the other. Before the next one, what the card
had done by then is waited for (cards_part.py). So a card that is slower or faster than the recorded
one is no difference, as far as the driver could see.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyvfio_user.protocol import CONFIG_REGION

from pyvfio_user import Client, Refused, RegionAccess
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.comparing import Step, Words, is_drivers, steps
from vmcoredd.trace.events import Decoder, request_of, words_of_request
from vmcoredd.trace.records import (
    ACCESSES,
    CONFIG_SPACE,
    MALFORMED,
    UNDONE,
    Kind,
    Record,
    Source,
)
from vmcoredd.trace.replay.ahead import Ahead
from vmcoredd.trace.replay.cards_part import CardsPart, Patience
from vmcoredd.trace.replay.interrupts import Interrupts
from vmcoredd.trace.replay.memory import HostMemory
from vmcoredd.trace.replay.report import Describer, Difference, Report

PATIENCE = 2.0
"""Seconds that the card may take for what it had done when it was recorded."""
LONGEST = 1 << 20
"""Bytes of an access that is made; a malformed one may have any length."""
BATCH = 256
"""Accesses that are in flight together."""
QUICK_TURNS = 8
"""Reads of a polled word that are sent ahead, like other accesses."""
TURNS = 1000
"""Reads of a word that never changed while it was polled."""

Ask = Callable[[dict[str, Any]], object]
"""Applies a request to the other side's control socket; raises an exception if it cannot."""
Progress = Callable[[int], object]
"""Is told how many records are done."""


@dataclass
class Options:
    """How to play: `ask` applies control requests, None where there is no control socket;
    `strict` counts volatile registers as differences; `patience`: seconds to wait for the card."""

    ask: Ask | None = None
    strict: bool = False
    patience: float = PATIENCE
    progress: Progress = lambda _: None
    on_difference: Callable[[Difference], None] = field(default=lambda _: None)


def replay(reader: Reader, socket: str | os.PathLike[str], options: Options) -> Report:
    """Plays the driver's side of a trace to the server at `socket`.

    Raises TraceFormatError, and pyvfio_user's errors if the connection cannot be made or is lost.
    What the trace lacks is in `reader.damage` afterwards.
    """
    report = Report()
    with (
        HostMemory(report.left_out) as memory,
        _Player(reader, socket, options, report, memory) as play,
    ):
        play.run()
    return report


class _Player(contextlib.AbstractContextManager["_Player"]):
    """A replay that is under way."""

    def __init__(
        self,
        reader: Reader,
        socket: str | os.PathLike[str],
        options: Options,
        report: Report,
        memory: HostMemory,
    ) -> None:
        decoder = Decoder(reader.header)
        self._header, self._socket, self._options = reader.header, socket, options
        self._report, self._memory = report, memory
        self._words, self._describe = Words(decoder.chip), Describer(decoder)
        self._client: Client | None = None
        self._session = contextlib.ExitStack()
        self._records = Ahead(reader.records(), memory.meet)
        self._patience = Patience(options.patience)
        outside = set(_listed(_table(reader.header.get("wires")).get("outside")))
        self._card = CardsPart(
            report, memory, self._records, self._patience, outside, self._differs
        )
        self._batch: list[tuple[int, Record]] = []
        self._ahead: dict[int, Step] = {}
        self._slow: set[int] = set()
        self._busy_until = 0

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def run(self) -> None:
        """Plays all records."""
        if self._header.get("used"):
            self._report.left_out["the card had been used when the trace began"] += 1
        for index, record in self._records:
            if record.kind in ACCESSES:
                if is_drivers(record):
                    self._access(index, record)
            elif act := _ACTS.get(Kind(record.kind)):
                act(self, index, record)
            if not index % _OFTEN:
                self._options.progress(index)
        self._settle(_END)

    # The connection

    @property
    def client(self) -> Client:
        """The connection, which is made when it is needed."""
        if self._client is None:
            client = self._session.enter_context(Client(self._socket))
            self._card.interrupts = self._session.enter_context(Interrupts(client))
            self._client = client
            for shared in _listed(self._header.get("shared")):
                self._memory.share(client, *_share(shared))
        return self._client

    def _attached(self, index: int, _record: Record) -> None:
        self._detached(index, _record)
        self.client  # noqa: B018 - it connects

    def _detached(self, index: int, _record: Record) -> None:
        self._settle(index)
        self._session.close()
        self._client = self._card.interrupts = None

    def _mapped(self, _index: int, record: Record) -> None:
        self._memory.share(self.client, record.address, record.value, record.detail)

    def _unmapped(self, index: int, record: Record) -> None:
        if self._client is not None:
            self._settle(index)
            self._memory.unshare(self._client, record)

    def _reset(self, index: int, record: Record) -> None:
        if record.source == Source.CLIENT and record.time >= self._busy_until:
            self._settle(index)
            self.client.reset()

    # Accesses

    def _access(self, index: int, record: Record) -> None:
        if self._card.is_expected:
            self._settle(index)
        self._busy_until = record.time + record.spent
        self._report.parts[-1].accesses += 1
        if record.space == 0 and not record.error:
            self._describe.follow(record)
        if not 0 < record.length <= LONGEST or (record.detail & MALFORMED and record.carried):
            self._report.left_out["accesses of an impossible length not made"] += 1
        elif self._words.is_polled(record) and not record.error:
            self._poll(index, record)
        else:
            self._batch.append((index, record))
        if len(self._batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        """Makes the accesses that nothing had to be waited for between, all at once."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        answers = self.client.access_all([_made(record) for _, record in batch])
        ahead, self._ahead = self._ahead, {}
        for (index, record), came in zip(batch, answers, strict=True):
            if step := ahead.get(index):
                if came != record.content:
                    self._late(step)
            elif record.kind == Kind.WRITE:
                self._check_write(index, record, came)
            else:
                self._compare(index, record, _answer(came))

    def _read(self, record: Record) -> bytes | str:
        """Returns what is read, or how the server refuses it."""
        return _answer(self.client.access_all([_made(record)])[0])

    def _check_write(self, index: int, record: Record, came: bytes | Refused) -> None:
        if isinstance(came, Refused) and not record.error:
            self._differs(index, record, _answer(came))
        elif record.error and not isinstance(came, Refused):
            self._differs(index, record, "accepted")

    def _compare(self, index: int, record: Record, came: bytes | str) -> None:
        if isinstance(came, str) or record.error:
            if not (isinstance(came, str) and record.error):
                self._differs(index, record, came)
            return
        differs, volatile = self._words.differing(record, came)
        if differs or (volatile and self._options.strict):
            self._differs(index, record, came)
        else:
            self._report.volatile.update(volatile)

    def _poll(self, index: int, record: Record) -> None:
        """Reads polled words until they have the values that ended the recorded polls."""
        series = self._series(index, record)
        quick = not self._card.is_expected and all(self._is_quick(step) for step in series)
        if not quick:
            self._flush()
        for step in series:
            self._report.polls["waits"] += 1
            self._report.polls["recorded"] += step.turns
            if quick:
                self._send_ahead(step)
            else:
                self._wait_for(step)

    def _is_quick(self, step: Step) -> bool:
        """Returns whether the hardware had done it at once, and has always done so here."""
        return (
            not step.moved
            and step.turns <= QUICK_TURNS
            and self._words.is_quick(step.record)
            and step.record.address not in self._slow
        )

    def _send_ahead(self, step: Step) -> None:
        """Reads a polled word as any other, without waiting for the answer before it goes on."""
        self._ahead[step.index] = step
        self._batch += [(step.index, step.record)] * step.turns
        self._report.polls["made"] += step.turns

    def _late(self, step: Step) -> None:
        """Waits for an operation that had not ended when what follows it was done already."""
        if step.record.address not in self._slow:
            self._slow.add(step.record.address)
            self._report.left_out["accesses that were made before a poll had ended"] += 1
            self._wait_for(step)

    def _series(self, index: int, record: Record) -> list[Step]:
        """Takes the reads that belong to a poll, and what the card did meanwhile."""
        taken = [(index, record)]
        while (found := self._coming()) is not None:
            for _ in range(found):
                self._card.expect(*self._records.take())
            taken.append(self._records.take())
            self._report.parts[-1].accesses += 1
            self._busy_until = taken[-1][1].time + taken[-1][1].spent
        return [
            Step(taken[one.index][0], one.record, one.turns, one.is_poll, one.moved)
            for one in steps(self._words, (each for _, each in taken))
        ]

    def _coming(self) -> int | None:
        """Returns how many of the card's own events precede the next read of the same poll."""
        for place, (_, record) in enumerate(self._records.view):
            if is_drivers(record):
                return place if self._words.is_polled(record) and not record.error else None
            if record.source != Source.ENGINE or place > _OFTEN:
                return None
        return None

    def _wait_for(self, step: Step) -> None:
        wanted = step.record.content
        least = 1 if step.moved else min(step.turns, TURNS)
        end = time.monotonic() + self._patience.seconds
        turns, came = 0, self._read(step.record)
        while True:
            turns += 1
            if came == wanted and turns >= least:
                break
            if isinstance(came, str) or time.monotonic() > end:
                self._patience.in_vain += 1
                self._compare(step.index, step.record, came)
                break
            came = self._read(step.record)
        self._report.polls["made"] += turns

    def _expect(self, index: int, record: Record) -> None:
        self._card.expect(index, record)

    def _settle(self, index: int) -> None:
        """Waits for what the card had done before the record `index`, and compares it."""
        self._flush()
        self._card.settle(index)

    # Requests to the emulator

    def _control(self, index: int, record: Record) -> None:
        request = request_of(record)
        self._settle(index)
        if request is None:
            self._report.left_out["requests that cannot be read"] += 1
        elif not self._applied(request):
            self._split(index, record)

    def _fault(self, index: int, record: Record) -> None:
        """Makes sure that a fault is on that had come by then, however it did; or off."""
        name = record.data.decode(errors="replace")
        off = name.endswith(UNDONE)
        self._settle(index)
        request = {"do": "fault", "off" if off else "on": [name.removesuffix(UNDONE)]}
        if self._options.ask is None and record.time < self._busy_until:
            return  # it came by an access: the other card may have it too
        if not self._applied(request) and self._options.ask is None:
            self._split(index, record)

    def _applied(self, request: dict[str, Any]) -> bool:
        if self._options.ask is None:
            return False
        try:
            self._options.ask(request)
        except Exception as error:  # noqa: BLE001 - whatever the other side's is
            self._report.left_out[f"refused by the control socket: {error}"] += 1
        return True

    def _split(self, index: int, record: Record) -> None:
        """Begins a new part of the report: what differs in it may follow from what is missing."""
        from vmcoredd.trace.replay.report import Part

        what = words_of_request(record)
        title = f"after `{what}` (record {index:,}), which could not be applied"
        self._report.parts.append(Part(title))

    def _differs(self, index: int, record: Record, came: bytes | str) -> None:
        difference = self._describe.difference(index, record, came)
        self._report.add(difference)
        self._options.on_difference(difference)


_OFTEN = 1024
_END = 1 << 62
_ACTS: dict[Kind, Callable[[_Player, int, Record], None]] = {
    Kind.ATTACHED: _Player._attached,
    Kind.DETACHED: _Player._detached,
    Kind.MAPPED: _Player._mapped,
    Kind.UNMAPPED: _Player._unmapped,
    Kind.RESET: _Player._reset,
    Kind.CONTROL: _Player._control,
    Kind.FAULT: _Player._fault,
    Kind.DMA_READ: _Player._expect,
    Kind.DMA_WRITE: _Player._expect,
    Kind.INTERRUPT: _Player._expect,
    Kind.FRAME_RECEIVED: _Player._expect,
}


def _made(record: Record) -> RegionAccess:
    region = CONFIG_REGION if record.space == CONFIG_SPACE else record.space
    if record.kind == Kind.READ:
        return RegionAccess(region, record.address, record.length)
    content = record.content.ljust(record.length, b"\0")[: record.length]
    return RegionAccess(region, record.address, data=content)


def _answer(came: bytes | Refused) -> bytes | str:
    return f"refused: {os.strerror(came.errno)}" if isinstance(came, Refused) else came


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _share(value: Any) -> tuple[int, int, int]:
    address, size, writable = value
    return int(address), int(size), int(writable)
