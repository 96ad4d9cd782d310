"""Tries a cell: our own driver's dump of a card, a guest's crash, or a script in a guest."""

from __future__ import annotations

import contextlib
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vmcoredd import cudbg, debs, driver, emu, vmcore
from vmcoredd.diagnosis import diagnose
from vmcoredd.driver import DriverError
from vmcoredd.emu import wires
from vmcoredd.emu.errors import NoSuchFault, ProfileError
from vmcoredd.emu.triggers import TriggerError
from vmcoredd.fleet.sweep import ktap
from vmcoredd.fleet.sweep.cells import HEALTHY
from vmcoredd.fleet.sweep.jobs import Job
from vmcoredd.fleet.sweep.rows import FINDING, Facts, Result
from vmcoredd.hw.errors import DeviceError
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.qemu.guest import Adapter
    from vmcoredd.qemu.prepare import Prepared

SKIP_CODES = (4, 125)
"""Exit codes by which a script says that it cannot run here: of the kernel's selftests, and of what
`git bisect run` runs."""
NAME = "cxgb4_0000:00:02.0"
"""Of our own driver's dump: as that of a guest's first adapter."""
ROOM = 1 << 20
"""Bytes of a script's output that are searched for results."""


class Trial:
    """A cell's trial; it leaves its files in the folder `work`."""

    def __init__(self, job: Job, work: str | Path) -> None:
        self._cell, self._settings = job.cell, job.settings
        self._folder, self._work = Path(job.folder), Path(work)
        self._prepared: Prepared | None = None
        self._impossible: Facts | None = None
        self._up = False  # a guest is, so that what goes wrong is its own

    def prepare(self) -> None:
        """Gets what a guest needs, which may take minutes."""
        if self._cell.is_guest:
            self._impossible = self._tried(self._get)

    def facts(self) -> Facts:
        """Tries the cell. Never raises for what a card, a kernel or a script does."""
        found = self._impossible or self._tried(self._try)
        assert found
        release = self._prepared.kernel.release if self._prepared else ""
        return replace(found, release=release)

    def _tried(self, what: Callable[[], Facts | None]) -> Facts | None:
        try:
            return what()
        except (NoSuchFault, TriggerError, wires.WireError) as error:
            return Facts(Result.SKIP, _line(error))
        except Exception as error:  # noqa: BLE001 - other cells go on
            if _is_of_cell(error):
                return Facts(Result.FAIL if self._up else Result.ERROR, _line(error))
            where = traceback.extract_tb(error.__traceback__)[-1]
            return Facts(Result.ERROR, f"{_line(error)} ({Path(where.filename).name}, a bug)")

    def _get(self) -> None:
        kernel, settings = self._cell.kernel, self._settings
        self._prepared = _prepared(kernel, settings.loads_driver(kernel), not settings.script)

    def _try(self) -> Facts:
        if not self._cell.is_guest:
            return self._dump()
        return self._script() if self._settings.script else self._crash()

    # Without a guest

    def _dump(self) -> Facts:
        cell = self._cell
        card = emu.Card.load(cell.card, cell.seed, faults=cell.faults)
        dumps = vmcore.DeviceDumps()
        try:
            with contextlib.closing(dumps), driver.open_card(card) as adapter:
                dumps.add_device_dump(NAME, *adapter.device_dump())
                if self._settings.keep_vmcore:
                    vmcore.write(self._work / "vmcore", dumps)
                return self._judged(dumps.dumps[0].payload)
        except (DriverError, DeviceError) as error:
            return Facts(Result.FAIL, f"no device dump: {_line(error)}")

    def _judged(self, payload: memoryview) -> Facts:
        """Returns what a dump says, and whether that is as it must be."""
        try:
            dump = cudbg.Dump(payload)
        except cudbg.DumpFormatError as error:
            return Facts(Result.FAIL, f"the dump cannot be read: {error}")
        verdict = diagnose(dump)
        found = [{key: str(getattr(one, key)) for key in FINDING} for one in verdict.alarming]
        lost = {one.name: one.reason for one in dump.entities if one.is_incomplete}
        why = ""
        if not verdict.card.chip:
            why = "; ".join(verdict.lost)
        elif verdict.damage:
            why = f"the dump is damaged: {verdict.damage[0]}"
        elif found and self._cell.fault == HEALTHY:
            why = f"the card is healthy, but the verdict has {found[0]['rule']}"
        result = Result.FAIL if why else Result.PASS
        return Facts(result, why, bool(found), lost, tuple(found))

    # In a guest

    def _crash(self) -> Facts:
        from vmcoredd.qemu import kdump
        from vmcoredd.qemu.prepare import Options

        def on_stage(stage: kdump.Stage) -> None:
            self._up = self._up or stage is kdump.Stage.ARMED

        path, seconds = self._work / "vmcore", self._settings.seconds(self._cell)
        with self._served(emu.Scene.CRASHED, map_window=True) as (prepared, adapters):
            report = kdump.run(
                adapters,
                path,
                flow=kdump.Flow(notes_only=True),
                options=Options(kernel=self._cell.kernel, memory=self._settings.memory or "1G"),
                deadlines=kdump.Deadlines(driver=seconds, save=seconds),
                console=self._work / "console",
                on_stage=on_stage,
                prepared=prepared,
            )
        if report.missing:
            path.unlink()
            return Facts(Result.FAIL, f"no device dump: {report.missing[0].reason}")
        with vmcore.Reader(path) as reader:
            facts = self._judged(reader.payload(reader.device_dumps[0].index))
        if not self._settings.keep_vmcore:
            path.unlink()
        return facts

    def _script(self) -> Facts:
        from vmcoredd.qemu.prepare import Options, memory_for
        from vmcoredd.qemu.root import find_root
        from vmcoredd.qemu.session import run_script

        def on_booted() -> None:
            self._up = True

        def on_output(text: str) -> None:
            output.write(text)

        settings, cell = self._settings, self._cell
        with (
            self._served(emu.Scene.FRESH) as (prepared, adapters),
            (self._work / "output").open("w") as output,
        ):
            ports = emu.profile.load(cell.card).ports.count
            result = run_script(
                adapters,
                self._folder / settings.script,
                options=Options(
                    kernel=cell.kernel,
                    memory=settings.memory or memory_for(ports),
                    root=find_root().with_modules(prepared.kernel),
                ),
                driver=settings.loads_driver(cell.kernel),
                seconds=settings.seconds(cell),
                console=self._work / "console",
                on_booted=on_booted,
                on_output=on_output,
                prepared=prepared,
            )
        return _of_script(result.code, result.output)

    @contextlib.contextmanager
    def _served(
        self, scene: emu.Scene, *, map_window: bool = False
    ) -> Iterator[tuple[Prepared, Sequence[Adapter]]]:
        """Serves the card, with its fault and its wires."""
        from vmcoredd.qemu.prepare import serve_cards

        cell = self._cell
        card = emu.Card.load(cell.card, cell.seed, scene=scene, map_window=map_window)
        card.fail_served(*cell.faults)
        wires.plug(self._settings.wires, {"": card})
        assert self._prepared
        with (
            tempfile.TemporaryDirectory(prefix="vmcoredd-") as sockets,
            serve_cards([card], Path(sockets)) as adapters,
        ):
            yield self._prepared, adapters


def _of_script(code: int, output: str) -> Facts:
    """Returns what a script said by its exit code, and by its results if it printed KTAP."""
    tests = ktap.tests(output[:ROOM])
    failed = [test.name for test in tests if test.result is Result.FAIL]
    if code in SKIP_CODES:
        result, why = Result.SKIP, f"the script cannot run here: exit code {code}"
    elif failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        total = counted(len(tests), "test")
        result, why = Result.FAIL, f"{failed[0]}{more} of {total} failed, exit code {code}"
    elif code:
        result, why = Result.FAIL, f"exit code {code}"
    else:
        result, why = Result.PASS, ""
    return Facts(result, why, exit_code=code, tests=tests)


@lru_cache(maxsize=8)
def _prepared(kernel: str, driver: bool, dump: bool) -> Prepared:
    from vmcoredd.qemu.prepare import prepare

    return prepare(kernel, driver=driver, dump=dump)


def _is_of_cell(error: Exception) -> bool:
    """Whether an error is known: it is of a card, a guest, or of this machine."""
    kinds: list[type[Exception]] = [ProfileError, emu.EmuError, OSError, vmcore.VmcoreError]
    kinds += [DriverError, DeviceError, debs.Unavailable, ModuleNotFoundError]
    with contextlib.suppress(ModuleNotFoundError):
        from vmcoredd.qemu.errors import GuestError

        kinds.append(GuestError)
    return isinstance(error, tuple(kinds))


def _line(error: Exception) -> str:
    """Returns an error in a line: of a guest's without the end of its console, which is kept."""
    text = getattr(error, "reason", "") or str(error) or type(error).__name__
    return " ".join(str(text).split())
