"""The guest's kernel: built once from Debian's source package, then kept in the user's cache.

Debian's own kernels leave CONFIG_PROC_VMCORE_DEVICE_DUMP off. The configuration is `kernel.config`
beside this file. The driver's source is not touched.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import build_once, silent

from . import sources
from .errors import BuildError, GuestError
from .toolbox import Toolbox, check_installed, toolbox

CONFIG = Path(__file__).with_name("kernel.config")
FORMAT = 1  # of what is kept; another number makes every kernel anew
NEEDED_BYTES = 3 << 30  # the tree with its objects, before it is deleted
RETIRED = "# What newer kernels do without\n"  # in CONFIG; below it a drop is no error
STEPS = 1500  # lines that `make` prints, about: for the progress alone


@dataclass(frozen=True)
class Kernel:
    """A built kernel, in one folder of the cache."""

    folder: Path

    @property
    def image(self) -> Path:
        """What boots: a bzImage."""
        return self.folder / "bzImage"

    @property
    def vmlinux(self) -> Path:
        """The same kernel with symbols and DWARF, for crash(8)."""
        return self.folder / "vmlinux"

    @property
    def release(self) -> str:
        """What `uname -r` says in the guest."""
        return (self.folder / "release").read_text().strip()

    @property
    def modules(self) -> dict[str, Path]:
        """Each module's file, with its debug information, by the module's name."""
        found = sorted((self.folder / "modules").glob("*.ko"))
        return {path.stem: path for path in found}


def kernel(name: str = sources.DEFAULT, progress: debs.Progress = silent) -> Kernel:
    """The kernel `name` (a key of sources.SUITES), built if it was not before: about five minutes.

    Raises GuestError, BuildError, debs.Unavailable.
    """
    if platform.machine() != "x86_64":
        raise GuestError(f"guests need an x86_64 machine; this is {platform.machine()}")
    check_installed()
    source = sources.source(name, progress)
    target = debs.cache_dir() / "guest" / f"kernel-{source.version}-{_key(source)}"
    return Kernel(build_once(target, functools.partial(_build, source, progress), progress))


@dataclass(frozen=True)
class Build:
    """One build under way: where, with what, and how to tell how far it is."""

    tree: Path
    result: Path
    log: Path
    tools: Toolbox
    lock: int
    progress: debs.Progress

    def make(self, doing: str, *targets: str, steps: int = 0) -> None:
        """`make targets` in the tree. Raises BuildError."""
        self.run(doing, "make", f"-j{_jobs()}", *self.tools.arguments, *targets, steps=steps)

    def run(self, doing: str, *command: str, steps: int = 0) -> None:
        """A command in the tree, its output in the log, each of its lines a step."""
        self.progress(doing, 0.0 if steps else None)
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                command,
                cwd=self.tree,
                env=self.tools.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock,),
            ) as process,
        ):
            for line, text in enumerate(process.stdout or (), 1):
                log.write(text)
                log.flush()
                if steps and line % 10 == 0:
                    self.progress(doing, min(line / steps, 0.99))
        if process.returncode:
            raise BuildError(doing, self.log)


def _key(source: sources.Source) -> str:
    compiler = subprocess.run(["gcc", "--version"], check=True, capture_output=True).stdout
    inputs = (FORMAT, sorted(_options(CONFIG.read_text())), source.version, compiler)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


def _build(source: sources.Source, progress: debs.Progress, work: Path, lock: int) -> None:
    _check_disk(work)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    log = work / "build.log"
    log.unlink(missing_ok=True)
    build = Build(tree, work / "result", log, toolbox(work / "tools", progress), lock, progress)
    name = f"linux {source.version}"
    unpack = ("tar", "-x", "--strip-components=1", "-I", "xz -T0", "-f", str(source.archive))
    build.run(f"unpacking {name}", *unpack)
    build.make(f"configuring {name}", f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig")
    _check_config(tree / ".config", log)
    build.make(f"building {name}", "bzImage", "modules", steps=STEPS)
    _keep(build)


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise GuestError(
            f"building a kernel needs {NEEDED_BYTES >> 30} GiB in {folder} for a while, "
            f"and {free >> 20} MiB are free. Set XDG_CACHE_HOME to another disk"
        )


def _check_config(made: Path, log: Path) -> None:
    """Kconfig drops what it does not know or whose dependencies fail, and says nothing."""
    has = set(made.read_text().splitlines())
    required, _, _ = CONFIG.read_text().partition(RETIRED)
    dropped = [line for line in _options(required) if line not in has]
    if dropped:
        log.write_text(f"{log.read_text()}\ndropped by Kconfig: {' '.join(dropped)}\n")
        raise BuildError("configuring the kernel", log)


def _options(text: str) -> list[str]:
    return re.findall(r"(?m)^CONFIG_\w+=.*$", text)


def _keep(build: Build) -> None:
    """bzImage, vmlinux and the modules; the tree is deleted."""
    (build.result / "modules").mkdir()
    for module in build.tree.rglob("*.ko"):
        module.rename(build.result / "modules" / module.name)
    (build.tree / "arch/x86/boot/bzImage").rename(build.result / "bzImage")
    (build.tree / "vmlinux").rename(build.result / "vmlinux")
    (build.tree / ".config").rename(build.result / "config")
    (build.tree / "include/config/kernel.release").rename(build.result / "release")


def _jobs() -> int:
    return len(os.sched_getaffinity(0))
