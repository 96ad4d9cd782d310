"""What every guest is made of, obtained once: QEMU, a kernel, an initramfs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from . import sources
from .accelerator import accelerator
from .arguments import Machine, OnPanic
from .guest import Adapter, Guest
from .initramfs import initramfs
from .kernel import Kernel, kernel
from .machine import Qemu, qemu


@dataclass(frozen=True)
class Parts:
    """QEMU, a kernel and an initramfs that fits it, and the accelerator that works here."""

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
    ) -> Guest:
        """A guest made of these parts, as `options` describe it; the rest as Guest says."""
        machine = Machine(
            self.kernel.image,
            self.initramfs,
            memory=options.memory,
            cpus=options.cpus,
            crashkernel=options.crashkernel,
            words=options.words,
            on_panic=options.on_panic,
            accelerator=self.accelerator,
            shell=shell,
        )
        return Guest(
            self.qemu,
            machine,
            folder,
            console,
            adapters,
            affinity=options.affinity,
            extra_monitor=extra_monitor,
        )


@dataclass(frozen=True)
class Options:
    """What a person may choose about a guest.

    `memory` and `crashkernel` as QEMU and the kernel take them (1G, 256M). `words` are added to
    the kernel's command line. `affinity`: the cpus QEMU may run on, None for all.
    """

    kernel: str = sources.DEFAULT
    memory: str = "1G"
    cpus: int = 2
    crashkernel: str = "256M"
    words: str = ""
    on_panic: OnPanic = OnPanic.END
    affinity: frozenset[int] | None = None


DEFAULTS = Options()


def obtain(kernel_name: str = sources.DEFAULT, progress: debs.Progress = silent) -> Parts:
    """The parts of a guest, from the cache, else downloaded and built: minutes, the first time.

    Raises GuestError and debs.Unavailable.
    """
    program = qemu(progress)
    built = kernel(kernel_name, progress)
    archive = initramfs(built, progress)
    return Parts(program, built, archive, accelerator(program, built, archive, progress))


@contextlib.contextmanager
def folder_beside(output: Path) -> Iterator[Path]:
    """A folder on the file system of `output`, so that a file can be renamed into its place."""
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=output.absolute().parent) as name:
        yield Path(name)
