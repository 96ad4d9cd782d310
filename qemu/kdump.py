"""Crashes a guest and brings its crash kernel's /proc/vmcore to the host.

The first kernel reserves memory for a crash kernel, loads that, and panics. The crash kernel loads
the unmodified driver, which dumps its adapters, and copies /proc/vmcore to the host.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from vmcoredd import debs, vmcore
from vmcoredd.chip.pci import VENDOR_CHELSIO

from .errors import CommandFailed, GuestDied, GuestTimeout, RunError
from .guest import Adapter, Guest, Result
from .kernels import check_dumps
from .prepare import DEFAULTS, Options, Prepared, folder_beside, prepare, unused
from .program import address
from .verdict import MEMORY, RESERVED, Crash, Verdict, crash_kernels_part, dump_name


class Stage(Enum):
    """The stages of a run. The guest waits while the caller acts on a stage."""

    BOOTED = "the first kernel is up"
    PROBED = "the first kernel's driver has probed the adapters"
    ARMED = "the crash kernel is loaded"
    FLOWING = "traffic flows on the wires"
    CRASHED = "the crash kernel is up, its driver not yet loaded"
    DUMPED = "the loading of the crash kernel's driver has ended"
    SAVED = "/proc/vmcore is on the host"


OnStage = Callable[[Stage], None]


@dataclass(frozen=True)
class Deadlines:
    """How long each step may take, in seconds. Under TCG a dump takes more than a minute."""

    boot: float = 120.0
    arm: float = 120.0
    driver: float = 900.0  # for each adapter
    traffic: float = 180.0
    save: float = 900.0


@dataclass(frozen=True)
class Flow:
    """Optional steps of a run.

    `first_driver`: the first kernel loads the driver too. `traffic`: wires, by the interfaces at
    their ends (`eth0=eth1`), on which the first kernel has traffic when it panics; it loads the
    driver for that, and all interfaces are up. `remedy`: the process that loads the crash kernel's
    driver has a page of zeros at address 0 (docs/how-to/guest.md); without it the driver of Linux
    5.12 and later oopses and there is no device dump. `notes_only`: save the ELF header and the
    notes, without the memory.
    """

    first_driver: bool = False
    traffic: tuple[str, ...] = ()
    remedy: bool = True
    notes_only: bool = False


@dataclass(frozen=True)
class Report:
    """The outcome of a run.

    `oops`: the kernel's line about its oops, if there was one. `driver`: the result of loading the
    driver in the crash kernel. `seconds`: the time from the start to each stage. `missing` and
    `partial`: adapters without a dump, and dumps that may lack something, with the reasons.
    `before`: with traffic, the record of what ethtool, ip and debugfs said of the adapters just
    before the panic.
    """

    vmcore: Path
    console: Path
    device_dumps: tuple[str, ...]
    oops: str | None
    driver: Result
    seconds: dict[Stage, float]
    missing: tuple[Verdict, ...] = ()
    partial: tuple[Verdict, ...] = ()
    before: Path | None = None


DEFAULT_FLOW = Flow()
DEFAULT_DEADLINES = Deadlines()
RECORD = "before"
"""The record's name while the guest runs."""
ALL_UP = "for path in /sys/class/net/eth*; do ip link set ${path##*/} up; done"
"""Interfaces that have a network namespace of their own are not in this folder."""
OOPS = re.compile(r"BUG: kernel NULL pointer dereference[^\r\n]*")


def run(
    adapters: Sequence[Adapter],
    output: Path,
    *,
    flow: Flow = DEFAULT_FLOW,
    options: Options = DEFAULTS,
    deadlines: Deadlines = DEFAULT_DEADLINES,
    force: bool = False,
    console: Path | None = None,
    on_stage: OnStage = lambda stage: None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> Report:
    """Crashes a guest with `adapters` attached and writes its /proc/vmcore to `output`.

    The serial console is logged to `console`, by default `output` with `.console` added, from the
    start: an older log is lost. With traffic, a record is kept as `output` with `.before` added.
    Log and record are kept even if the run fails; then the record never replaces an older one, but
    has a number in its name.

    Raises GuestError, debs.Unavailable; vmcore.OutputExists and similar errors for a bad `output`
    or record.
    """
    if not prepared:
        check_dumps(options.kernel)
    target, record = check_outputs(output, traffic=bool(flow.traffic), force=force)
    prepared = prepared or prepare(options.kernel, progress, module=options.module, dump=True)
    console = console or target.with_name(f"{target.name}.console")
    with folder_beside(target) as folder, _record_kept(folder, record):
        with prepared.guest(options, folder, console, adapters) as guest:
            steps = _Steps(
                guest, options, flow, deadlines, adapters, on_stage, progress, folder / RECORD
            )
            steps.first_kernel()
            steps.arm()
            steps.start_traffic()
            steps.crash()
            driver = steps.dump()
            saved = steps.save()
        check_outputs(target, traffic=bool(flow.traffic), force=force)
        os.replace(saved, target)
        if record:
            os.replace(folder / RECORD, record)
    oops, dumps = _first_oops(console), _device_dumps(target)
    crash = Crash(crash_kernels_part(console), driver, options.crashkernel)
    missing = tuple(crash.missing(name) for name in steps.expected if name not in dumps)
    partial = tuple(filter(None, map(crash.partial, dumps)))
    return Report(target, console, dumps, oops, driver, steps.seconds, missing, partial, record)


def check_outputs(output: Path, *, traffic: bool, force: bool) -> tuple[Path, Path | None]:
    """Returns the real paths of the vmcore and, with traffic, of the record beside it.

    Raises vmcore.OutputExists, unless `force`, and similar errors.
    """
    target = Path(vmcore.check_output(output, force=force, stream=False))
    if not traffic:
        return target, None
    record = target.with_name(f"{target.name}.before")
    return target, Path(vmcore.check_output(record, force=force, stream=False))


@contextlib.contextmanager
def _record_kept(folder: Path, record: Path | None) -> Iterator[None]:
    """Keeps what was recorded before a failure, beside an older record."""
    try:
        yield
    except BaseException:
        if record and (folder / RECORD).exists():
            os.rename(folder / RECORD, unused(record))
        raise


@dataclass(frozen=True)
class _Steps:
    guest: Guest
    options: Options
    flow: Flow
    deadlines: Deadlines
    adapters: Sequence[Adapter]
    on_stage: OnStage
    progress: debs.Progress
    record: Path
    expected: list[str] = field(default_factory=list)
    seconds: dict[Stage, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def reached(self, stage: Stage) -> None:
        self.seconds[stage] = time.monotonic() - self.began
        self.on_stage(stage)

    def first_kernel(self) -> None:
        self.progress("booting the guest", None)
        self.guest.wait_for_kernel("first", self.deadlines.boot)
        self.reached(Stage.BOOTED)
        self.expected.extend(filter(None, map(self._dump_of, range(len(self.adapters)))))
        if self.flow.first_driver or self.flow.traffic:
            self.progress("loading the driver in the first kernel", None)
            self.guest.run("load-driver --plain", self._driver_seconds)
            self.reached(Stage.PROBED)

    def _dump_of(self, index: int) -> str | None:
        """Returns the name of the dump that an adapter's driver adds; None for another's device."""
        vendor = f"/sys/bus/pci/devices/{address(index)}/vendor"
        if self.adapters[index].any_device:
            said = self.guest.run(f"cat {vendor}", self.deadlines.boot, check=False).output
            if said.strip() != f"{VENDOR_CHELSIO:#06x}":
                return None
        return dump_name(index)

    def arm(self) -> None:
        """Loads the crash kernel. A failure usually means that no memory is set aside for it."""
        with self._crash_kernel_blamed():
            self.guest.run("arm-crash-kernel", self.deadlines.arm)
        self.reached(Stage.ARMED)

    def crash(self) -> None:
        """Panics. A failure usually means too little memory for the crash kernel."""
        self.progress("crashing the guest, starting its crash kernel", None)
        with self._crash_kernel_blamed():
            self.guest.panic()
            self.guest.wait_for_kernel("crash", self.deadlines.boot)
        self.reached(Stage.CRASHED)

    @contextlib.contextmanager
    def _crash_kernel_blamed(self) -> Iterator[None]:
        try:
            yield
        except (CommandFailed, GuestDied, GuestTimeout) as error:
            raise RunError(self._no_crash_kernel(error), self.guest.console) from error

    def start_traffic(self) -> None:
        """Starts traffic, and records what the kernel knows of the adapters with it.

        All interfaces are up, those whose wires lead out of the guest too.
        """
        if not self.flow.traffic:
            return
        self.progress("starting traffic in the guest", None)
        wires = self.flow.traffic
        self.guest.run(f"join-wires {' '.join(wires)}", self.deadlines.traffic)
        self.guest.run(ALL_UP, self.deadlines.traffic)
        self.guest.run(f"start-traffic 0 {len(wires)}", self.deadlines.traffic)
        self.guest.run("record-adapters >/share/before", self.deadlines.traffic)
        os.rename(self.guest.share / "before", self.record)
        self.reached(Stage.FLOWING)

    def _no_crash_kernel(self, error: RunError) -> str:
        setting = f"crashkernel={self.options.crashkernel}"
        if not RESERVED.search(self.guest.console.read_text(errors="replace")):
            return f"{setting} does not fit in the guest's memory of {self.options.memory}"
        return f"no crash kernel with {setting}, which may be too small: {error.reason}"

    def dump(self) -> Result:
        self.progress("loading the driver in the crash kernel", None)
        command = "load-driver" if self.flow.remedy else "load-driver --plain"
        with self._memory_blamed():
            result = self.guest.run(command, self._driver_seconds, check=False)
        self.reached(Stage.DUMPED)
        return result

    def save(self) -> Path:
        doing = "copying /proc/vmcore"
        option = "--notes-only " if self.flow.notes_only else ""

        def show(text: str) -> None:
            percents = re.findall(r"(\d+)%", text)
            if percents:
                self.progress(doing, int(percents[-1]) / 100)

        self.progress(doing, None)
        with self._memory_blamed():
            saving = f"save-vmcore {option}/share/vmcore"
            self.guest.run(saving, self.deadlines.save, on_output=show)
        self.reached(Stage.SAVED)
        return self.guest.share / "vmcore"

    @contextlib.contextmanager
    def _memory_blamed(self) -> Iterator[None]:
        """Says that the crash kernel ran out of memory where that explains an error."""
        try:
            yield
        except RunError as error:
            console = self.guest.console
            if not MEMORY.search(crash_kernels_part(console)):
                raise
            setting = f"crashkernel={self.options.crashkernel}"
            reason = f"the crash kernel ran out of memory, {setting} is too small: {error.reason}"
            raise RunError(reason, console) from error

    @property
    def _driver_seconds(self) -> float:
        return self.deadlines.driver * max(len(self.adapters), 1)


def _device_dumps(path: Path) -> tuple[str, ...]:
    with vmcore.Reader(path) as reader:
        return tuple(note.name or "" for note in reader.device_dumps)


def _first_oops(console: Path) -> str | None:
    found = OOPS.search(console.read_text(errors="replace"))
    return found[0] if found else None
