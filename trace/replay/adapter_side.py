"""Plays the adapter's side of a trace: serves the recorded answers to a driver, in their order, and
says where its accesses differ from the recorded ones.

A driver may poll more or less often: a polled word shows at once the value that ended the poll.
Where the driver does something else, it has either added accesses or left some out: whichever its
next access fits.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

from pyvfio_user import Refused, Server
from vmcoredd.chip import Chip, pci
from vmcoredd.chip.pci import Bar
from vmcoredd.plural import counted, exact
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.comparing import Words, is_drivers
from vmcoredd.trace.errors import TraceFormatError
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.records import CONFIG_SPACE, Kind, Record, Source
from vmcoredd.trace.replay.ahead import Ahead
from vmcoredd.trace.replay.report import Describer, Difference, Report

REACH = 256
"""Recorded accesses that a driver may leave out at once."""
BAR_MOST = 256 << 20
VECTORS_MOST = 2048
"""MSI-X has no more (PCI 3.0)."""
_BARS = range(0x10, 0x40)
"""BARs, the expansion ROM's, the interrupt line (PCI 3.0, 6.1)."""
_MSI_BYTES = 0x18
_ADDED = "accesses that the driver has added"
Place = tuple[int, int, int, int]
"""Kind, space, address and length of an access."""


def serve(
    reader: Reader,
    path: str | os.PathLike[str],
    *,
    ready: Callable[[], None] = lambda: None,
    **options: Any,
) -> Report:
    """Serves a trace's answers on a socket until the driver has gone, or a signal comes.

    `options` are those of `pyvfio_user.Server`. Raises TraceFormatError and ListenError.
    """
    with Server(path, **options) as server:
        player = Player(reader, server)
        with server.stopped_by(signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            ready()
            server.run()
        player.end()
        server.log.flush()
    return player.report


class Player:
    """A trace's adapter, on a server that is not running yet."""

    def __init__(self, reader: Reader, server: Server) -> None:
        decoder = Decoder(reader.header)
        self.report = Report()
        self._chip: Chip = decoder.chip
        self._server = server
        self._words, self._describe = Words(decoder.chip), Describer(decoder)
        self._records = Ahead(reader.records())
        self._polled: dict[tuple[Any, ...], Record] = {}
        self._shown: dict[Place, Record] = {}
        self._fork: int | None = None
        self._dma_from_here = True
        self._device(reader.header)
        if reader.header.get("doorbells_mapped"):
            self.report.left_out["reads of a page that the client had mapped are not recorded"] += 1
        self._advance()

    def _device(self, header: Mapping[str, Any]) -> None:
        server, bars = self._server, _sizes(header.get("bars"))
        server.config_space(self._config(), self._entry(CONFIG_SPACE))
        for bar, size in bars.items():
            server.region(bar, size, self._entry(bar), bits64=True, prefetch=bar == Bar.DOORBELLS)
        vectors = (header.get("msix") or {}).get("vectors", 0)
        if type(vectors) is not int or not 0 <= vectors <= VECTORS_MOST:
            raise TraceFormatError(f"a header with {vectors} interrupts")
        server.irqs(intx=1, msi=1, msix=vectors)
        server.on_client_gone = server.stop

    def _config(self) -> bytes:
        """Returns what the trace soon shows of configuration space's header."""
        header = bytearray(64)
        for _, record in reversed(self._records.view):
            if record.kind == Kind.READ and record.space == CONFIG_SPACE and not record.error:
                part = record.content[: max(0, len(header) - record.address)]
                header[record.address : record.address + len(part)] = part
        return bytes(header)

    def _entry(self, space: int) -> Callable[[int, memoryview, bool], None]:
        def access(offset: int, data: memoryview, is_write: bool) -> None:
            self._answer(space, offset, data, is_write)

        return access

    # Answers

    def _answer(self, space: int, offset: int, data: memoryview, is_write: bool) -> None:
        self.report.parts[-1].accesses += 1
        kind = Kind.WRITE if is_write else Kind.READ
        place = (int(kind), space, offset, len(data))
        record = self._found(place, bytes(data) if is_write else b"")
        if record is None:
            if not is_write:
                data[:] = bytes(len(data))
            return
        if not is_write:
            data[:] = record.content.ljust(len(data), b"\0")[: len(data)]
        self._advance()
        if record.error:
            raise OSError(record.error, os.strerror(record.error))

    def _found(self, place: Place, written: bytes) -> Record | None:
        """Returns the recorded access that an access is, or what it is answered with."""
        polled = self._polled.get((*place, b""))
        if polled is not None:
            self.report.polls["made"] += 1
            return polled
        self._polled.clear()
        if self._fork is not None:
            self._decide(place)
        expected = self._expected()
        if expected is not None and _place(expected[1]) == place:
            self._consume()
            self._check_written(*expected, written)
            return self._opened(*expected)
        return self._resynchronised(expected, place, written)

    def _expected(self, ahead: int = 0) -> tuple[int, Record] | None:
        """Returns the next access of the recorded driver, or a later one."""
        coming = (one for one in self._records.view if is_drivers(one[1]))
        return next(itertools.islice(coming, ahead, None), None)

    def _opened(self, index: int, record: Record) -> Record:
        """Begins a poll, if it is one: takes all its reads, and shows the last values."""
        self._shown[_place(record)] = record
        if not self._words.is_polled(record) or record.error:
            return record
        series = {(*_place(record), b""): record}
        turns = 1
        while (coming := self._expected()) and self._words.is_polled(coming[1]):
            self._consume()
            series[*_place(coming[1]), b""] = coming[1]
            turns += 1
        self._polled = series
        self.report.polls.update({"waits": len(series), "recorded": turns, "made": 1})
        return series[*_place(record), b""]

    def _check_written(self, index: int, record: Record, written: bytes) -> None:
        if record.space == Bar.REGISTERS and not record.error:
            self._describe.follow(record)
        if record.kind != Kind.WRITE or written == record.content:
            return
        if _is_hosts(record):
            self.report.left_out["writes of addresses that a host chooses"] += 1
            self._dma_from_here = False
            return
        self._differs(self._describe.difference(index, record, written))

    # Where a driver does something else

    def _resynchronised(
        self, expected: tuple[int, Record] | None, place: Place, written: bytes
    ) -> Record | None:
        ahead = self._ahead_of(place, written)
        shown = self._shown.get(place)
        self._dma_from_here = False
        came = self._made(place, written)
        if expected is None:
            self._end_of_trace(came)
            return shown
        index, record = expected
        what = self._describe.name(self._describe.event(record))
        self._differs(
            Difference(index, self._describe.event(record).time, what, "it comes next", came)
        )
        self._fork = ahead
        if ahead is None:
            self.report.left_out[_ADDED] += 1
            return shown
        found = self._expected(ahead)
        return found[1] if found and place[0] == Kind.READ else shown

    def _made(self, place: Place, written: bytes) -> str:
        """Returns what an access of the driver's is, in words."""
        kind, space, address, length = place
        empty = dict.fromkeys(Record._fields[:-1], 0) | {"data": b""}
        long = length > 8
        given = {
            "kind": kind,
            "source": int(Source.CLIENT),
            "space": space,
            "address": address,
            "length": length,
            "carried": length if long else 0,
            "data": written if long else b"",
            "value": 0 if long else int.from_bytes(written, "little"),
        }
        event = self._describe.event(Record(**(empty | given)))  # type: ignore[arg-type]
        value = f" = {written[:8].hex(' ')}" if written else ""
        return f"{self._describe.name(event)}{value}"

    def _end_of_trace(self, came: str) -> None:
        if not self.report.left_out["accesses after the end of the trace"]:
            self._differs(Difference(-1, 0, "the end of the trace", "no more accesses", came))
        self.report.left_out["accesses after the end of the trace"] += 1

    def _ahead_of(self, place: Place, written: bytes) -> int | None:
        """Returns how many recorded accesses precede the one that an access may be."""
        coming = (record for _, record in self._records.view if is_drivers(record))
        for ahead, record in enumerate(itertools.islice(coming, REACH)):
            if _place(record) == place and (place[0] == Kind.READ or record.content == written):
                return ahead
        return None

    def _decide(self, place: Place) -> None:
        """Decides, by the next access, whether the one before was added or others left out."""
        ahead, self._fork = self._fork or 0, None
        expected = self._expected()
        if expected and _place(expected[1]) == place:
            self.report.left_out[_ADDED] += 1
            return
        self.report.left_out["recorded accesses that the driver has left out"] += ahead
        for _ in range(ahead + 1):
            self._consume()

    # The records

    def _consume(self) -> None:
        """Takes the records up to the next access of the driver's."""
        while self._records.view:
            _, record = self._records.take()
            if is_drivers(record):
                return
            self._do(record)

    def _advance(self) -> None:
        """Does what the card had done before the next access."""
        while self._records.view and not is_drivers(self._records.view[0][1]):
            self._do(self._records.take()[1])

    def _do(self, record: Record) -> None:
        if record.kind == Kind.DMA_WRITE and not record.error and record.carried:
            self._write_memory(record)
        elif record.kind == Kind.INTERRUPT and record.value:
            self.report.compared["interrupt"] += 1
            self._server.irq(record.detail)

    def _write_memory(self, record: Record) -> None:
        if not self._dma_from_here:
            self.report.left_out["DMA writes not made: the driver's memory may be elsewhere"] += 1
            return
        try:
            self._server.dma_write(record.address, record.data)
            self.report.compared["DMA write"] += 1
        except Refused:
            self.report.left_out["DMA writes that the driver's client refuses"] += 1

    def _differs(self, difference: Difference) -> None:
        self.report.add(difference)

    def end(self) -> None:
        """Counts what the driver has not done."""
        left = sum(is_drivers(record) for _, record in self._records)
        if left:
            self._differs(
                Difference(
                    -1,
                    0,
                    "the end of the driver",
                    counted(left, "more access", "more accesses"),
                    "it has gone",
                )
            )


def _sizes(given: Any) -> dict[int, int]:
    """Returns the sizes of BARs in a header, checked."""
    try:
        sizes = {int(bar): int(size) for bar, size in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise TraceFormatError(f"a header without the sizes of BARs: {error}") from error
    for bar, size in sizes.items():
        if bar not in (0, 2, 4) or not 0 < size <= BAR_MOST or size & (size - 1):
            raise TraceFormatError(f"a header with a BAR{bar} of {exact(size, 'byte')}")
    return sizes


def _place(record: Record) -> Place:
    return record.kind, record.space, record.address, record.length


def _is_hosts(record: Record) -> bool:
    """Returns whether a write holds what a host chooses: BARs, interrupt messages."""
    if record.space == CONFIG_SPACE:
        capability = pci.CAP_AT[pci.Cap.MSI]
        in_message = capability <= record.address < capability + _MSI_BYTES
        return _BARS.start <= record.address < _BARS.stop or in_message
    return record.space == Bar.MSIX
