"""The loop that makes a dump: it collects every entity in turn, and continues after an error.

Source of the rules: cxgb4_cudbg_collect() and cxgb4_cudbg_collect_entity() (cxgb4_cudbg.c).
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from vmcoredd.chip.firmware import FwCommand
from vmcoredd.cudbg.container import HEADERS_BYTES, PIECE_BYTES, EntityHeader, entity_header_offset
from vmcoredd.cudbg.dump_writer import Compressing, Direct, DumpWriter, Sink
from vmcoredd.cudbg.entity import C, Entity
from vmcoredd.cudbg.entity import entities as known_entities
from vmcoredd.cudbg.errors import Code, CudbgError, Status
from vmcoredd.hw.device import Device
from vmcoredd.hw.errors import AdapterGone, DeadDevice, DeviceError
from vmcoredd.hw.io import Counts, Io

log = logging.getLogger("cudbg")

GROUP_BYTES = 16 * PIECE_BYTES
"""Pieces of a memory are handed out in groups of this size if they are certain to fit."""


@dataclass
class Collected:
    """The result of one entity; its header also holds `code`, `sys_err`, `sys_warn` and `size`."""

    number: int
    name: str
    code: int = 0
    sys_err: int = 0
    sys_warn: int = 0
    size: int = 0
    """Bytes in the dump, compressed and padded."""
    raw_bytes: int = 0
    """Bytes before compression."""
    reconnects: int = 0
    """How often the connection was lost in it and made again."""
    bug: str = ""
    """The exception of a collector that failed as none should; its header says -29."""
    seconds: float = 0.0
    counts: Counts = field(default_factory=Counts)

    @property
    def good(self) -> bool:
        """Whether the dump has its data."""
        return self.code == 0

    @property
    def timeouts(self) -> int:
        """How often the adapter did not do in time what was awaited: polls, or the failure itself.

        Some collectors go on after a poll that timed out, and their entity is good.
        """
        failed = -errno.ETIMEDOUT in (self.code, self.sys_err)
        return max(self.counts.timeouts, int(failed))


@dataclass
class Report:
    """The results of a dump."""

    entities: list[Collected] = field(default_factory=list)
    data_len: int = HEADERS_BYTES
    """Bytes of the dump, including headers."""
    seconds: float = 0.0
    dead: str = ""
    """Why the device became unreachable; empty if it did not."""
    lost_from: str = ""
    """The entity in which this was noticed: it and those after it have no data."""

    @property
    def good(self) -> list[Collected]:
        """Entities that are in the dump."""
        return [entity for entity in self.entities if entity.good]

    @property
    def failed(self) -> list[Collected]:
        """Entities that are not."""
        return [entity for entity in self.entities if not entity.good]


Progress = Callable[[Collected, int, int], None]
"""Called with an entity, its position and the number of entities: when the entity begins, after
each group of pieces, and when it ends."""


Firmware = Callable[[FwCommand], FwCommand]
"""Sends a command through the mailbox; raises DeviceError with the kernel's code."""


Regain = Callable[[], None]
"""Gets the device back after its connection was lost, for the same `io`; raises if it cannot."""


class TooSmall(CudbgError):
    """The buffer cannot hold the headers (the kernel's -ENOMEM)."""


class UnknownEntity(CudbgError):
    """No entity has that name."""


def collect(
    io: Io,
    device: Device,
    buffer: memoryview,
    *,
    compress: str = "zlib",
    entities: Iterable[str] | None = None,
    limit: int | None = None,
    firmware: Firmware | None = None,
    progress: Progress | None = None,
    regain: Regain | None = None,
) -> Report:
    """Dumps an adapter into `buffer` (zeroed), using at most `limit` bytes; returns the results.

    `compress` is `zlib` or `none`; `entities` names a subset, collected in the kernel's order;
    `firmware` provides what registers do not. An entity in which the connection is lost is
    collected again, once, if `regain` gets the device back.

    Raises TooSmall, UnknownEntity, and ValueError for another `compress`. All other failures are
    recorded in the dump and the report, each as its entity's.
    """
    if compress not in ("zlib", "none"):
        raise ValueError(f"compress is zlib or none, not {compress!r}")
    chosen = _chosen(entities)
    limit = len(buffer) if limit is None else min(limit, len(buffer))
    if limit < HEADERS_BYTES:
        raise TooSmall(f"a dump needs {HEADERS_BYTES} bytes for its headers, there are {limit}")
    writer = DumpWriter(buffer, limit, device.code, compress == "zlib")
    sink: Sink = Compressing(writer) if compress == "zlib" else Direct(writer)
    return _Collection(io, device, sink, firmware, progress, regain).run(chosen, buffer)


def _chosen(names: Iterable[str] | None) -> list[Entity]:
    known = known_entities()
    wanted = known.keys() if names is None else set(names)
    if unknown := sorted(wanted - known.keys()):
        raise UnknownEntity(f"no entity is called {', '.join(unknown)}")
    return [entity for name, entity in known.items() if name in wanted]


class _Collection:
    """One dump under construction."""

    def __init__(
        self,
        io: Io,
        device: Device,
        sink: Sink,
        firmware: Firmware | None,
        progress: Progress | None,
        regain: Regain | None,
    ) -> None:
        self._io, self._device, self._sink = io, device, sink
        self._firmware = firmware or _no_firmware
        self._progress = progress or (lambda entity, position, total: None)
        self._regain = regain
        self._report = Report()

    def run(self, chosen: list[Entity], buffer: memoryview) -> Report:
        started = time.monotonic()
        try:
            for position, entity in enumerate(chosen):
                self._entity(entity, position, len(chosen))
        finally:
            self._sink.finish()
        for collected in self._report.entities:
            at = entity_header_offset(collected.number)
            header = EntityHeader.from_bytes(buffer[at:])
            collected.code, collected.size = header.hdr_flags, header.size
            self._report.data_len += collected.size
        self._report.seconds = time.monotonic() - started
        return self._report

    def _entity(self, entity: Entity, position: int, total: int) -> None:
        collected = Collected(entity.number, entity.name)
        self._report.entities.append(collected)
        self._progress(collected, position, total)
        started = time.monotonic()
        self._sink.begin(entity.number)
        self._attempts(entity, collected, lambda: self._progress(collected, position, total))
        self._sink.end(collected.code, collected.sys_err, collected.sys_warn)
        collected.seconds = time.monotonic() - started
        self._progress(collected, position, total)

    def _attempts(self, entity: Entity, collected: Collected, tell: Callable[[], None]) -> None:
        """Collects an entity, and again if the connection was lost in it and made again."""
        for again in (False, True):
            if again:
                self._sink.again()
                collected.raw_bytes = collected.code = collected.sys_err = collected.sys_warn = 0
            before = self._io.counts
            context = _Context(self._device, self._sink, collected, self._firmware, tell)
            loss = self._attempt(entity, context, collected)
            collected.counts = self._io.counts - before
            if loss is None or not self._regained(collected, loss):
                break

    def _regained(self, collected: Collected, loss: DeadDevice) -> bool:
        """Gets the device back, or records why it is lost for good."""
        why = str(loss)
        if self._regain and not isinstance(loss, AdapterGone):
            try:
                self._regain()
            except Exception as error:  # noqa: BLE001 - what was collected is kept
                why += f"; {error}"
            else:
                collected.reconnects += 1
                return True
        self._report.dead, self._report.lost_from = why, collected.name
        return False

    def _attempt(
        self, entity: Entity, context: _Context, collected: Collected
    ) -> DeadDevice | None:
        """Collects an entity; records a device failure or a lack of space in `collected`.

        Returns the loss of the device.
        """
        try:
            if self._report.dead:
                raise Status(-errno.EIO)
            if entity.chips is not None and self._device.chip not in entity.chips:
                raise Status(Code.ENTITY_NOT_FOUND)
            self._collect(entity, context)
        except Status as failure:
            collected.code, collected.sys_err = failure.code, failure.sys_err
        except DeadDevice as death:
            collected.code = -errno.EIO
            return death
        except DeviceError as error:
            collected.code = collected.sys_err = error.code
        except MemoryError:  # the kernel's collectors fail in this way if an allocation fails
            collected.code = -errno.ENOMEM
        except Exception as error:
            log.debug("%s", entity.name, exc_info=True)
            collected.code, collected.bug = Code.SYSTEM_ERROR, repr(error)
        return None

    def _collect(self, entity: Entity, context: _Context) -> None:
        """Collects an entity; raises `AdapterGone` if the adapter was gone before its end."""
        try:
            entity.collect(self._io, self._device.chip, context)
            context.commit()
        except Exception:
            self._io.check_alive()
            raise
        self._io.check_alive()


def _no_firmware(command: FwCommand) -> FwCommand:
    raise DeviceError(-errno.ENXIO, f"no mailbox for {command!r}")


class _Context:
    """See `cudbg.entity.Context`. `tell` is called after each group of pieces."""

    def __init__(
        self,
        device: Device,
        sink: Sink,
        entity: Collected,
        firmware: Firmware,
        tell: Callable[[], None],
    ) -> None:
        self.device = device
        self.firmware = firmware
        self.tell = tell
        self._sink, self._entity = sink, entity
        self._open: memoryview | None = None

    def area(self, size: int) -> memoryview:
        self.commit()
        self._open = self._sink.area(size)
        return self._open

    def pieces(self, size: int) -> Iterator[memoryview]:
        for group in self._groups(size):
            yield self.area(group)

    def _groups(self, size: int) -> Iterator[int]:
        """Yields sizes of pieces that certainly fit together, or of one; first writes the area."""
        while size:
            self.commit()
            group = min(size, GROUP_BYTES)
            if not self._sink.fits(group):
                group = min(size, PIECE_BYTES)
            yield group
            self.tell()
            size -= group

    def zeros(self, size: int) -> None:
        for group in self._groups(size):
            self._sink.zeros(group)
            self._entity.raw_bytes += group

    def warn(self, sys_warn: int) -> None:
        self._entity.sys_warn = sys_warn

    def ask(self, command: C) -> C:
        reply = self.firmware(command)
        return type(command).from_bytes(bytes(reply))

    def commit(self) -> None:
        """Writes the area that was handed out last."""
        area, self._open = self._open, None
        if area is not None:
            self._entity.raw_bytes += len(area)
            self._sink.commit(area)
