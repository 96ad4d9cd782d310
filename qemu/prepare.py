"""Prepares what guests need: QEMU, its accelerator, a kernel, an initramfs, and served adapters."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmcoredd import debs

from .errors import RunError
from .guest import Adapter, Guest
from .initramfs import build_initramfs, modules_archive
from .kernel import DEFAULT_KERNEL, Kernel
from .kernels import check, check_root, find_kernel, is_path
from .program import NO_DEBUGGING, Debugging, Machine, OnPanic, Qemu, find_qemu
from .root import Root

if TYPE_CHECKING:
    from vmcoredd import emu

KVM = Path("/dev/kvm")
KVM_BOOT_SECONDS = 10.0
NO_KASLR = "nokaslr"
"""With it the symbols of a `vmlinux` are where gdb, which asks no kernel, looks for them."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Options:
    """The user's options for a guest.

    `module`: the file of a module that replaces the kernel's own. `memory` and `crashkernel` are
    given as to QEMU and the kernel (1G, 256M). `kernel_arguments` are added to the kernel's command
    line. `affinity`: the CPUs QEMU may run on, None for all. `root`: what of the host the guest can
    read, None for nothing. `nic_pairs`: models of QEMU's own NICs, of which the guest gets two that
    are joined. `iommu`: the guest has an IOMMU, and its kernel uses it.
    """

    kernel: str = DEFAULT_KERNEL
    module: Path | None = None
    memory: str = "1G"
    cpus: int = 2
    crashkernel: str = "256M"
    kernel_arguments: str = ""
    on_panic: OnPanic = OnPanic.END
    affinity: frozenset[int] | None = None
    root: Root | None = None
    nic_pairs: tuple[str, ...] = ()
    iommu: bool = False


DEFAULTS = Options()


@dataclass(frozen=True)
class Prepared:
    """QEMU, a kernel, the archives of its guests' initramfs, and the accelerator that works here.

    `programs` is the same for all kernels; `modules` is this kernel's.
    """

    qemu: Qemu
    kernel: Kernel
    programs: Path
    modules: bytes
    accelerator: str = "tcg"

    def guest(
        self,
        options: Options,
        folder: Path,
        console: Path,
        adapters: Sequence[Adapter] = (),
        *,
        shell: bool = False,
        debugging: Debugging = NO_DEBUGGING,
        share: Path | None = None,
    ) -> Guest:
        """Returns a guest with these `options`; see Guest for the other arguments.

        Raises GuestError.
        """
        root = options.root or Root()
        root = root.with_modules(self.kernel)
        initramfs = first = _written(folder / "initramfs", self.programs, self.modules)
        if root.mounts:
            check_root(self.kernel)
            first = _written(folder / "first.initramfs", initramfs, root.archive())
        machine = Machine(
            self.kernel.image,
            first,
            memory=options.memory,
            cpus=options.cpus,
            crashkernel=options.crashkernel,
            kernel_arguments=_arguments(options, gdb=debugging.gdb is not None),
            on_panic=options.on_panic,
            accelerator=self.accelerator,
            shell=shell,
            root_ports=self.kernel.stock,
            exports=root.exports,
            nic_pairs=options.nic_pairs,
            iommu=options.iommu,
        )
        return Guest(
            self.qemu,
            machine,
            folder,
            console,
            adapters,
            affinity=options.affinity,
            debugging=debugging,
            share=share,
            crash_initramfs=initramfs,
        )


def _arguments(options: Options, *, gdb: bool) -> str:
    """Returns what is added to the kernel's command line."""
    words = [options.kernel_arguments, *[NO_KASLR] * gdb, *["intel_iommu=on"] * options.iommu]
    return " ".join(words)


def memory_for(ports: int) -> str:
    """Returns the memory of a guest; each interface takes up to 150 MB once it is up."""
    return f"{1024 + 256 * ports}M"


def prepare(
    kernel: str = DEFAULT_KERNEL,
    progress: debs.Progress = debs.silent,
    *,
    module: Path | None = None,
    driver: bool = False,
    dump: bool = False,
) -> Prepared:
    """Returns a guest's needs from the cache. The first call downloads and builds for minutes.

    A `module` replaces the kernel's own. The kernel is checked: its `driver`, unless that is the
    module, and what a `dump` needs. Raises GuestError and debs.Unavailable.
    """
    qemu = None if is_path(kernel) else find_qemu(progress)
    found = find_kernel(kernel, progress)
    check(found, driver=(driver or dump) and not module, dump=dump)
    modules = modules_archive(found, module)
    programs = build_initramfs(progress)
    qemu = qemu or find_qemu(progress)  # later, as a user's kernel may have to be told of first
    accelerator = choose_accelerator(qemu, found, programs, modules, progress)
    return Prepared(qemu, found, programs, modules, accelerator)


def _written(path: Path, first: Path, then: bytes) -> Path:
    """Writes an archive and one that follows it to a file; returns its path."""
    path.write_bytes(first.read_bytes() + then)
    return path


def choose_accelerator(
    qemu: Qemu,
    kernel: Kernel,
    programs: Path,
    modules: bytes,
    progress: debs.Progress = debs.silent,
) -> str:
    """Returns `kvm` if a guest boots under it, else `tcg`, QEMU's own translator.

    /dev/kvm may exist and open while no guest makes progress (nested virtualisation), so a guest
    is booted under a deadline. The result holds until the host boots again, unless a kernel of the
    user's does not boot, which may be its own fault.
    """
    if not os.access(KVM, os.R_OK | os.W_OK):
        return "tcg"
    key = hashlib.sha256(repr((BOOT_ID.read_text(), qemu.command)).encode()).hexdigest()[:12]
    verdict = debs.cache_dir() / "guest" / f"accelerator-{key}"
    if not verdict.exists():
        progress("checking whether a guest boots under KVM", None)
        boots = _boots(qemu, kernel, programs, modules)
        if kernel.config and not boots:
            return "tcg"
        verdict.write_text("kvm" if boots else "tcg")
    return verdict.read_text()


def _boots(qemu: Qemu, kernel: Kernel, programs: Path, modules: bytes) -> bool:
    """Returns True if a guest under KVM accepts commands in time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        initramfs = _written(folder / "initramfs", programs, modules)
        machine = Machine(kernel.image, initramfs, accelerator="kvm")
        try:
            with Guest(qemu, machine, folder, folder / "console.log") as guest:
                guest.wait_for_kernel("first", KVM_BOOT_SECONDS)
        except RunError:
            return False
    return True


@contextlib.contextmanager
def serve_cards(cards: Sequence[emu.Card], folder: Path) -> Iterator[list[Adapter]]:
    """Serves each card on its own socket in `folder`, by a thread, while the context is open.

    Each has a control socket beside it.
    """
    from vmcoredd.emu.control import beside
    from vmcoredd.emu.server import served

    adapters = [Adapter(folder / f"{number}.sock") for number in range(len(cards))]
    with contextlib.ExitStack() as servers:
        for card, adapter in zip(cards, adapters, strict=True):
            control = beside(adapter.socket)
            servers.enter_context(served(card, adapter.socket, control=control))
        yield adapters


@contextlib.contextmanager
def folder_beside(output: Path) -> Iterator[Path]:
    """Makes a folder on the file system of `output`; a file in it can be renamed to `output`."""
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=output.absolute().parent) as name:
        yield Path(name)


def unused(path: Path) -> Path:
    """Returns `path` if it is free, else with the first number after its name that makes it so."""
    names = (f"{path.name}{number or ''}" for number in itertools.count())
    return next(other for name in names if not os.path.lexists(other := path.with_name(name)))
