"""The guest's kernel: built once from Debian's source package, then kept in the user's cache.

Debian's own kernels leave CONFIG_PROC_VMCORE_DEVICE_DUMP off. `kernel.config` beside this file
is the guest's configuration; 6.12 has `vfio.config` too. The driver's source is not changed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vmcoredd import debs

from .errors import BuildError, GuestError, UnknownKernel
from .kernel_config import Config
from .kernel_tools import BuildTools, build_tools, check_installed
from .modules import CHECKSUMS, NONE, Contents, by_name, info, load_order, replacement

SUITES = {"6.1": "bookworm", "6.12": "trixie", "newest": "trixie-backports"}
DEFAULT_KERNEL = "6.1"
CONFIG, VFIO = (Path(__file__).with_name(f"{name}.config") for name in ("kernel", "vfio"))
OPTIONS = {"6.12": (VFIO, CONFIG)}
"""Files with the options of kernels that have more than CONFIG's; that one is the last."""
FORMAT = 1  # of the folder in the cache; a new number rebuilds every kernel
NEEDED_BYTES = 3 << 30  # for the source tree and its objects, until they are deleted
RETIRED = "# Options that newer kernels no longer have\n"  # in CONFIG; later ones may be missing
DRIVER = "cxgb4"
NEEDED_TO_BOOT = ("virtio_pci", "9pnet_virtio", "9p")
USEFUL = ("overlay", "qemu_fw_cfg", "pvpanic_pci")
"""Modules that a guest loads before it can read the rest from the host, if they are not built in:
those without which it has no folder in common with the host, and others."""
STEPS = 1500  # about how many lines `make` prints; only for progress


@dataclass(frozen=True)
class Kernel:
    """A built kernel: a folder in the cache."""

    folder: Path
    stock: ClassVar[bool] = False  # True: a package of Debian's (stock_kernel.py)

    def __str__(self) -> str:
        """Returns the kernel's name for the user."""
        return f"Linux {self.release}"

    @property
    def image(self) -> Path:
        """The bootable image, a bzImage."""
        return self.folder / "bzImage"

    @property
    def vmlinux(self) -> Path:
        """The same kernel with symbols and DWARF, for crash(8)."""
        return self.folder / "vmlinux"

    @property
    def release(self) -> str:
        """The guest's release, as `uname -r` prints it."""
        return (self.folder / "release").read_text().strip()

    @property
    def symbols(self) -> list[Path]:
        """What a debugger is to be given: the files with symbols and DWARF, if there are any."""
        files = (self.vmlinux, self.modules.get(DRIVER))
        return [path for path in files if path] if self.vmlinux.exists() else []

    @property
    def symbols_are_in(self) -> str:
        """Where to get them otherwise, in words."""
        return f"a vmlinux with debug information, or the package linux-image-{self.release}-dbg"

    @property
    def modules_folder(self) -> Path:
        """The modules' files."""
        return self.folder / "modules"

    @property
    def installed_modules(self) -> Path | None:
        """What is /lib/modules/RELEASE where the kernel is installed, as depmod leaves it."""
        return None

    @functools.cached_property
    def modules(self) -> dict[str, Path]:
        """Each module's file by the module's name."""
        return by_name(sorted(self.modules_folder.glob("*.ko")))

    @property
    def config(self) -> Config | None:
        """The configuration, of a kernel whose fitness is not known."""
        return None

    def is_built_in(self, module: str) -> bool | None:
        """Returns whether a module is built in; None where nothing tells."""
        return None

    def boot_modules(self) -> dict[str, bytes]:
        """Returns the modules that a guest boots with, by file name, in the order of loading.

        Raises GuestError.
        """
        missing = [name for name in NEEDED_TO_BOOT if not self.has(name)]
        if missing:
            raise GuestError(f"{self} has no module {missing[0]}, which guests need")
        names = [name for name in (*NEEDED_TO_BOOT, *USEFUL) if name in self.modules]
        return self._in_order(names)

    def driver_modules(self, instead: Path | None = None) -> dict[str, bytes]:
        """Returns cxgb4 after what it depends on, as `boot_modules`; nothing if it has no file.

        The module in the file `instead` takes the place of the one of its name. Raises GuestError.
        """
        if instead is None:
            return self._in_order([DRIVER] if DRIVER in self.modules else [])
        if self.is_built_in(DRIVER):
            raise GuestError(f"{self} has {DRIVER} built in: no module can replace it")
        name, content = replacement(instead, self._vermagic(), signed=self._wants_signatures())
        order = self._in_order([DRIVER], {name: content})
        if f"{name}.ko" not in order:
            names = ", ".join(order)
            raise GuestError(f"{instead} replaces nothing: it is {name}, and the driver is {names}")
        return order

    def check_driver(self) -> None:
        """Raises GuestError unless there is a driver that was built with this kernel."""
        if not self.has(DRIVER):
            raise GuestError(f"{self} has no module {DRIVER}: build it (make modules)")
        said = self._vermagic().split()
        if CHECKSUMS not in said and said[0] != self.release:
            raise GuestError(
                f"{self} is {self.release}, but its modules are of {said[0]}: build both "
                "(make bzImage modules)"
            )

    def _vermagic(self) -> str:
        """Returns what a module must say to be loaded, or at least its first word."""
        names = [name for name in (DRIVER, *self.modules) if name in self.modules]
        said = info(Contents(self.modules)[names[0]], "vermagic") if names else None
        return said or self.release

    def _wants_signatures(self) -> bool:
        return self.config is not None and self.config.value("MODULE_SIG_FORCE") == "y"

    def has(self, module: str) -> bool:
        """Returns False for a module that is neither built in nor has a file."""
        return module in self.modules or self.is_built_in(module) is not False

    def _in_order(
        self, names: Sequence[str], instead: Mapping[str, bytes] = NONE
    ) -> dict[str, bytes]:
        contents = Contents(self.modules, instead)
        order: list[str] = []
        try:
            for name in names:
                order += [one for one in load_order(name, contents) if one not in order]
        except KeyError as error:
            raise GuestError(f"{self} lacks the module {error.args[0]}") from error
        return {f"{name}.ko": contents[name] for name in order}


@dataclass(frozen=True)
class KernelSource:
    """A kernel's source as Debian ships it: one archive in a binary package."""

    version: str  # of the package, such as 6.1.176-1
    archive: Path


def options(name: str) -> str:
    """Returns the lines of the options that kernel `name` is built with."""
    return "".join(path.read_text() for path in OPTIONS.get(name, (CONFIG,)))


def kernel_source(
    name: str = DEFAULT_KERNEL, progress: debs.Progress = debs.silent
) -> KernelSource:
    """Returns the source of kernel `name` (a key of SUITES), downloaded once, then cached.

    Raises debs.Unavailable and UnknownKernel.
    """
    if name not in SUITES:
        raise UnknownKernel(f"no kernel {name!r}: choose one of {', '.join(SUITES)}")
    suite = SUITES[name]
    if name == "newest":
        name = _newest(suite, progress)
    package = f"linux-source-{name}"
    root = _unpacked(package, suite, progress)
    archive = debs.inside(root, f"usr/src/{package}.tar.xz")
    return KernelSource(debs.manifest(root)[package], archive)


def _newest(suite: str, progress: debs.Progress) -> str:
    """Returns the suite's kernel, such as 7.3: the version of the empty package `linux-source`."""
    version = debs.manifest(_unpacked("linux-source", suite, progress))["linux-source"]
    return ".".join(version.split(".")[:2])


def _unpacked(package: str, suite: str, progress: debs.Progress) -> Path:
    return debs.binaries(
        [package], suites=(suite,), name=package, dependencies=False, progress=progress
    )


def build_kernel(name: str = DEFAULT_KERNEL, progress: debs.Progress = debs.silent) -> Kernel:
    """Returns kernel `name` (a key of SUITES). Builds it, in five minutes, unless it is cached.

    Raises GuestError, BuildError, debs.Unavailable.
    """
    if platform.machine() != "x86_64":
        raise GuestError(f"guests need an x86_64 machine; this is {platform.machine()}")
    check_installed()
    source = kernel_source(name, progress)
    wanted = options(name)
    target = debs.cache_dir() / "guest" / f"kernel-{source.version}-{_key(source, wanted)}"
    build = functools.partial(_build, source, wanted, progress)
    return Kernel(debs.build_once(target, build, progress))


@dataclass(frozen=True)
class Build:
    """A build in progress: its folders, its tools, and where it reports progress."""

    tree: Path
    result: Path
    log: Path
    tools: BuildTools
    lock: int
    progress: debs.Progress

    def make(self, doing: str, *targets: str, steps: int = 0) -> None:
        """Runs `make targets` in the tree. Raises BuildError."""
        self.run(doing, "make", f"-j{_jobs()}", *self.tools.arguments, *targets, steps=steps)

    def run(self, doing: str, *command: str, steps: int = 0) -> None:
        """Runs a command in the tree and logs its output; each line counts as a step."""
        self.progress(doing, 0.0 if steps else None)
        with (
            self.log.open("ab") as log,
            debs.running(
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


def _key(source: KernelSource, wanted: str) -> str:
    compiler = subprocess.run(["gcc", "--version"], check=True, capture_output=True).stdout
    inputs = (FORMAT, sorted(_lines(wanted)), source.version, compiler)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


def _build(
    source: KernelSource, wanted: str, progress: debs.Progress, work: Path, lock: int
) -> None:
    _check_disk(work)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    log = work / "build.log"
    log.unlink(missing_ok=True)
    build = Build(tree, work / "result", log, build_tools(work / "tools", progress), lock, progress)
    name = f"linux {source.version}"
    unpack = ("tar", "-x", "--strip-components=1", "-I", "xz -T0", "-f", str(source.archive))
    build.run(f"unpacking {name}", *unpack)
    chosen = work / "options"
    chosen.write_text(wanted)
    build.make(f"configuring {name}", f"KCONFIG_ALLCONFIG={chosen}", "allnoconfig")
    _check_config(wanted, tree / ".config", log)
    build.make(f"building {name}", "bzImage", "modules", steps=STEPS)
    _keep(build)


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise GuestError(
            f"building a kernel temporarily needs {NEEDED_BYTES >> 30} GiB in {folder}, "
            f"but only {free >> 20} MiB are free. Set XDG_CACHE_HOME to another disk"
        )


def _check_config(wanted: str, made: Path, log: Path) -> None:
    """Checks that no option is lost: Kconfig silently drops unknown ones and unmet dependencies."""
    has = set(made.read_text().splitlines())
    required, _, _ = wanted.partition(RETIRED)
    dropped = [line for line in _lines(required) if line not in has]
    if dropped:
        log.write_text(f"{log.read_text()}\ndropped by Kconfig: {' '.join(dropped)}\n")
        raise BuildError("configuring the kernel", log)


def _lines(text: str) -> list[str]:
    return re.findall(r"(?m)^CONFIG_\w+=.*$", text)


def _keep(build: Build) -> None:
    """Moves bzImage, vmlinux and the modules out of the tree, which is then deleted."""
    (build.result / "modules").mkdir()
    for module in build.tree.rglob("*.ko"):
        module.rename(build.result / "modules" / module.name)
    (build.tree / "arch/x86/boot/bzImage").rename(build.result / "bzImage")
    (build.tree / "vmlinux").rename(build.result / "vmlinux")
    (build.tree / ".config").rename(build.result / "config")
    (build.tree / "include/config/kernel.release").rename(build.result / "release")


def _jobs() -> int:
    return len(os.sched_getaffinity(0))
