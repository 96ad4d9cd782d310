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
from .initramfs import build_initramfs
from .kernel import DEFAULT_KERNEL, Kernel
from .kernels import find_kernel
from .program import Machine, OnPanic, Qemu, find_qemu
from .root import Root

if TYPE_CHECKING:
    from vmcoredd import emu

KVM = Path("/dev/kvm")
KVM_BOOT_SECONDS = 10.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Options:
    """The user's options for a guest.

    `memory` and `crashkernel` are given as to QEMU and the kernel (1G, 256M). `kernel_arguments`
    are added to the kernel's command line. `affinity`: the CPUs QEMU may run on, None for all.
    `root`: what of the host the guest can read, None for nothing. `nic_pairs`: models of QEMU's own
    NICs, of which the guest gets two that are joined.
    """

    kernel: str = DEFAULT_KERNEL
    memory: str = "1G"
    cpus: int = 2
    crashkernel: str = "256M"
    kernel_arguments: str = ""
    on_panic: OnPanic = OnPanic.END
    affinity: frozenset[int] | None = None
    root: Root | None = None
    nic_pairs: tuple[str, ...] = ()


DEFAULTS = Options()


@dataclass(frozen=True)
class Prepared:
    """QEMU, a kernel, an initramfs for that kernel, and the accelerator that works here."""

    qemu: Qemu
    kernel: Kernel
    initramfs: Path
    accelerator: str = "tcg"

    def guest(
        self,
        options: Options,
        folder: Path,
        console: Path,
        adapters: Sequence[Adapter] = (),
        *,
        shell: bool = False,
        extra_monitor: Path | None = None,
        share: Path | None = None,
    ) -> Guest:
        """Returns a guest with these `options`; see Guest for the other arguments."""
        root = options.root or Root()
        root = root.with_modules(self.kernel)
        machine = Machine(
            self.kernel.image,
            self._with_root(root, folder),
            memory=options.memory,
            cpus=options.cpus,
            crashkernel=options.crashkernel,
            kernel_arguments=options.kernel_arguments,
            on_panic=options.on_panic,
            accelerator=self.accelerator,
            shell=shell,
            root_ports=self.kernel.stock,
            exports=root.exports,
            nic_pairs=options.nic_pairs,
        )
        return Guest(
            self.qemu,
            machine,
            folder,
            console,
            adapters,
            affinity=options.affinity,
            extra_monitor=extra_monitor,
            share=share,
            crash_initramfs=self.initramfs,
        )

    def _with_root(self, root: Root, folder: Path) -> Path:
        """Returns the initramfs of a guest with this root."""
        if not root.mounts:
            return self.initramfs
        path = folder / "initramfs"
        path.write_bytes(self.initramfs.read_bytes() + root.archive())
        return path


def prepare(kernel: str = DEFAULT_KERNEL, progress: debs.Progress = debs.silent) -> Prepared:
    """Returns a guest's needs from the cache. The first call downloads and builds for minutes.

    Raises GuestError and debs.Unavailable.
    """
    qemu = find_qemu(progress)
    built = find_kernel(kernel, progress)
    archive = build_initramfs(built, progress)
    return Prepared(qemu, built, archive, choose_accelerator(qemu, built, archive, progress))


def choose_accelerator(
    qemu: Qemu, kernel: Kernel, initramfs: Path, progress: debs.Progress = debs.silent
) -> str:
    """Returns `kvm` if a guest boots under it, else `tcg`, QEMU's own translator.

    /dev/kvm may exist and open while no guest makes progress (nested virtualisation), so a guest
    is booted under a deadline. The result holds until the host boots again.
    """
    if not os.access(KVM, os.R_OK | os.W_OK):
        return "tcg"
    key = hashlib.sha256(repr((BOOT_ID.read_text(), qemu.command)).encode()).hexdigest()[:12]
    verdict = debs.cache_dir() / "guest" / f"accelerator-{key}"
    if not verdict.exists():
        progress("checking whether a guest boots under KVM", None)
        machine = Machine(kernel.image, initramfs, accelerator="kvm")
        verdict.write_text("kvm" if _boots(qemu, machine, KVM_BOOT_SECONDS) else "tcg")
    return verdict.read_text()


def _boots(qemu: Qemu, machine: Machine, seconds: float) -> bool:
    """Returns True if a guest on `machine` accepts commands within `seconds`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with Guest(qemu, machine, folder, folder / "console.log") as guest:
                guest.wait_for_kernel("first", seconds)
        except RunError:
            return False
    return True


@contextlib.contextmanager
def serve_cards(cards: Sequence[emu.Card], folder: Path) -> Iterator[list[Adapter]]:
    """Serves each card on its own socket in `folder`, by a thread, while the context is open."""
    from vmcoredd.emu.server import served

    adapters = [Adapter(folder / f"{number}.sock") for number in range(len(cards))]
    with contextlib.ExitStack() as servers:
        for card, adapter in zip(cards, adapters, strict=True):
            servers.enter_context(served(card, adapter.socket))
        yield adapters


@contextlib.contextmanager
def folder_beside(output: Path) -> Iterator[Path]:
    """Makes a folder on the file system of `output`; a file in it can be renamed to `output`."""
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=output.absolute().parent) as name:
        yield Path(name)


def unused(path: Path) -> Path:
    """Returns `path`, or with the first number after its name that makes it one of no file."""
    names = (f"{path.name}{number or ''}" for number in itertools.count())
    return next(other for name in names if not os.path.lexists(other := path.with_name(name)))
