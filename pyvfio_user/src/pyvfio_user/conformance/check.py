"""What a check is, how one is run, and what the report of all of them is."""

from __future__ import annotations

import contextlib
import enum
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from .. import device, protocol
from ..device import DeviceInfo, Irq, Region
from ..protocol import Command, RegionFlag
from .target import Gone, Target
from .wire import Broken, Closed, Reply, Wire


class Section(enum.Enum):
    """The sections of the protocol's specification, in the order of the report."""

    VERSION = "version negotiation"
    MESSAGES = "messages"
    DEVICE = "device, regions and interrupts"
    ACCESS = "region reads and writes"
    IRQS = "interrupts"
    DMA = "DMA"
    RESET = "reset"
    MIGRATION = "migration and dirty pages"
    DISCONNECT = "disconnection"


class Outcome(enum.Enum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    NOT_OFFERED = "not offered"
    NOT_RUN = "not run"


class Fails(Exception):
    """The server does not do what the protocol says. The text says what it does."""


class NotOffered(Exception):
    """The server does not offer what the check is about. The text says what."""


@dataclass(frozen=True)
class Check:
    """One check. `says`: what the protocol demands. `alone`, `last`: see `check`."""

    section: Section
    name: str
    says: str
    alone: bool
    last: bool
    function: Callable[[Session], None]


@dataclass(frozen=True)
class Result:
    """How one check ended, and why."""

    section: str
    check: str
    says: str
    outcome: Outcome
    reason: str = ""


CHECKS: list[Check] = []
"""All checks, in the order of their definition."""


def check(
    section: Section, *, alone: bool = False, last: bool = False
) -> Callable[[Callable[[Session], None]], None]:
    """Registers a function as a check. Its docstring's first line is what the protocol demands.

    `alone`: for a check that may end the connection. It gets a connection of its own, and the
    server must accept another client afterwards. `last`: for a check of what all others have seen.
    """

    def register(function: Callable[[Session], None]) -> None:
        says = (function.__doc__ or "").partition("\n")[0]
        name = function.__name__.replace("_", "-")
        CHECKS.append(Check(section, name, says, alone, last, function))

    return register


@dataclass(frozen=True)
class Report:
    """The results of all checks, in the order of `Section`."""

    path: str
    results: tuple[Result, ...]

    def count(self, outcome: Outcome) -> int:
        """Returns the number of checks that ended so."""
        return sum(result.outcome is outcome for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: no check failed; 1: some did; 2: none failed, but some could not run."""
        if self.count(Outcome.FAIL):
            return 1
        return 2 if self.count(Outcome.NOT_RUN) else 0

    def json(self) -> dict[str, object]:
        """Returns the report as what `json.dumps` takes."""
        rows = [asdict(result) | {"outcome": result.outcome.value} for result in self.results]
        counts = {outcome.value: self.count(outcome) for outcome in Outcome}
        return {"socket": self.path, "counts": counts, "checks": rows}


def run(target: Target, names: Sequence[str] = ()) -> Report:
    """Runs all checks, or those of these names, and returns their report.

    Those that share a connection run first. Raises Gone if the server cannot be reached at all.
    """
    chosen = [check for check in CHECKS if not names or check.name in names]
    session = Session(target)
    with contextlib.closing(session):
        target.negotiated().close()
        turns = sorted(chosen, key=lambda check: (check.last, check.alone))
        results = {check: _run(check, session) for check in turns}
    order = list(Section)
    chosen.sort(key=lambda check: order.index(check.section))
    return Report(target.path, tuple(results[check] for check in chosen))


def _run(check: Check, session: Session) -> Result:
    outcome, reason = Outcome.PASS, ""
    try:
        if check.alone:
            session.disconnect()
        check.function(session)
        if check.alone:
            session.require_next_client()
    except NotOffered as error:
        outcome, reason = Outcome.NOT_OFFERED, str(error)
    except (Fails, Broken) as error:
        crashed = session.target.death() if isinstance(error, Closed) else None
        outcome, reason = Outcome.FAIL, crashed or str(error)
    except Gone as error:
        outcome, reason = Outcome.NOT_RUN, str(error)
    finally:
        session.end_check(outcome is Outcome.FAIL or check.alone)
    return Result(check.section.value, check.name, check.says, outcome, reason)


class Session:
    """What a check works with: connections to the server, and what it says of its device."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._wire: Wire | None = None
        self._closing: list[int] = []
        self._device: DeviceInfo | None = None
        self._regions: list[Region] | None = None
        self._irqs: list[Irq] | None = None
        self.long_errors: set[str] = set()  # refusals with more than a header

    def close(self) -> None:
        """Ends the connection."""
        self.disconnect()
        self.target.close()

    # Connections

    @property
    def wire(self) -> Wire:
        """The connection, with a negotiated version."""
        if not self._wire:
            self._wire = self.target.negotiated()
        return self._wire

    def disconnect(self) -> None:
        """Ends the connection; `wire` makes a new one."""
        if self._wire:
            self._wire.close()
        self._wire = None

    def raw(self) -> Wire:
        """Returns a new connection without a negotiated version, which becomes `wire`."""
        self.disconnect()
        self._wire = self.target.connect()
        return self._wire

    def reconnect(self) -> None:
        """Ends the connection and makes another to the same process, if that lives on.

        Raises NotOffered, Fails.
        """
        self.disconnect()
        if self.target.ends_with_its_client():
            raise NotOffered("the server ends with its client, as the protocol allows")
        try:
            self._wire = self.target.negotiated(same=True)
        except Gone as error:
            raise Fails(f"the server accepts no other client: {error}") from error

    def require_next_client(self) -> None:
        """Raises Fails unless the server accepts another client, or has ended in good order."""
        try:
            self.reconnect()
        except NotOffered:
            if died := self.target.death():
                raise Fails(died) from None
            if code := self.target.exit_code():
                raise Fails(f"the server gave up with exit code {code}") from None

    def end_check(self, disconnect: bool) -> None:
        """Closes what a check has opened."""
        while self._closing:
            os.close(self._closing.pop())
        if disconnect:
            self.disconnect()

    def keep(self, fd: int) -> int:
        """Returns `fd`, which is closed when the check has ended."""
        self._closing.append(fd)
        return fd

    def eventfd(self) -> int:
        """Returns a new eventfd that lives until the check has ended."""
        return self.keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))

    def memory(self, size: int) -> int:
        """Returns new memory of `size` bytes, which can be sealed, until the check has ended."""
        fd = self.keep(os.memfd_create("check", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(fd, size)
        return fd

    # Requests

    def ask(self, command: int, payload: bytes = b"", fds: Iterable[int] = ()) -> Reply:
        """Sends a command and returns its reply, whose descriptors live until the check ends."""
        reply = self.wire.ask(command, payload, fds=list(fds))
        self._closing += reply.fds
        if reply.refused and reply.payload:
            name = Command(command).name if command in list(Command) else f"command {command}"
            self.long_errors.add(f"{name}: {len(reply.payload)} bytes after the header")
        return reply

    def accept(
        self, command: Command, payload: bytes = b"", fds: Iterable[int] = (), what: str = ""
    ) -> Reply:
        """Sends a command and returns its reply, as `ask`. Raises Fails if the server refuses."""
        reply = self.ask(command, payload, fds)
        if reply.refused:
            raise Fails(f"{what or command.name} is refused with {_error(reply.error)}")
        return reply

    def refuse(
        self, command: int, payload: bytes, what: str, fds: Iterable[int] = (), error: int = 0
    ) -> None:
        """Raises Fails unless the server refuses, with `error` if that is not 0."""
        reply = self.ask(command, payload, fds)
        if not reply.refused:
            raise Fails(f"{what} is accepted")
        if error and reply.error != error:
            raise Fails(f"{what} is refused with {_error(reply.error)}, not {_error(error)}")

    # The device

    @property
    def device(self) -> DeviceInfo:
        """What the server says of its device."""
        if self._device is None:
            layout = protocol.DEVICE_INFO
            reply = self.accept(Command.DEVICE_GET_INFO, layout.pack(layout.size, 0, 0, 0))
            if len(reply.payload) < layout.size:
                raise Fails(f"DEVICE_GET_INFO: {len(reply.payload)} bytes, needs {layout.size}")
            self._device = DeviceInfo(*layout.unpack_from(reply.payload)[1:])
        return self._device

    def device_again(self) -> tuple[DeviceInfo, list[tuple[int, RegionFlag]], list[Irq]]:
        """Asks for everything anew."""
        self._device = self._regions = self._irqs = None
        return self.device, [(region.size, region.flags) for region in self.regions], self.irqs

    @property
    def regions(self) -> list[Region]:
        """The device's regions. Their descriptors are closed."""
        if self._regions is None:
            count = min(self.device.regions, 256)
            self._regions = [self.region(index) for index in range(count)]
        return self._regions

    @property
    def irqs(self) -> list[Irq]:
        """The device's interrupt indexes."""
        if self._irqs is None:
            self._irqs = [self.irq(index) for index in range(min(self.device.irqs, 256))]
        return self._irqs

    def region_info(self, index: int, size: int = protocol.REGION_INFO.size) -> Reply:
        """Asks for a region, with an argsz of `size`."""
        request = protocol.REGION_INFO.pack(size, 0, index, 0, 0, 0)
        return self.accept(Command.DEVICE_GET_REGION_INFO, request, what=f"info of region {index}")

    def region(self, index: int) -> Region:
        """Asks for a region, again if its capabilities need room. Raises Fails."""
        reply = self.region_info(index)
        needed = int.from_bytes(reply.payload[:4], "little")
        if len(reply.payload) < needed <= 1 << 16:
            reply = self.region_info(index, needed)
        try:
            return device.parse_region(index, reply.payload, reply.fds)
        except ValueError as error:
            raise Fails(f"region {index}: {error}") from error

    def irq(self, index: int) -> Irq:
        """Asks for an interrupt index. Raises Fails."""
        layout = protocol.IRQ_INFO
        request = layout.pack(layout.size, 0, index, 0)
        what = f"info of interrupt {index}"
        reply = self.accept(Command.DEVICE_GET_IRQ_INFO, request, what=what)
        if len(reply.payload) < layout.size:
            raise Fails(f"{what}: {len(reply.payload)} bytes, needs {layout.size}")
        _, flags, replied, count = layout.unpack_from(reply.payload)
        if replied != index:
            raise Fails(f"{what}: it describes {replied}")
        return Irq(index, flags, count)

    def readable(self) -> Region:
        """Returns config space, which can be read without side effects. Raises NotOffered.

        Some servers forget its flags, so it is tried.
        """
        for region in self.regions[protocol.CONFIG_REGION : protocol.CONFIG_REGION + 1]:
            asked = protocol.ACCESS.pack(0, region.index, 4)
            if region.size >= 64 and not self.ask(Command.REGION_READ, asked).refused:
                return region
        raise NotOffered("the device has no config space that can be read")


def _error(number: int) -> str:
    """Returns an errno's name."""
    return errno.errorcode.get(number, f"error {number}")
