"""Debian's kernels as they are: packages unpacked in the user's cache, nothing built or patched.

They leave CONFIG_PROC_VMCORE_DEVICE_DUMP off, so their crash kernels hold no device dump.
"""

from __future__ import annotations

import functools
import lzma
import os
import shutil
import subprocess
from pathlib import Path

from vmcoredd import debs

from .errors import BuildError, GuestError
from .kernel import Kernel

PACKAGE = "linux-image-amd64"
SUITES = {
    "6.1": ("bookworm",),
    "6.12": ("trixie",),
    "newest": ("trixie", "trixie-backports"),  # its dependencies are in trixie
}
KMOD_SUITE = "bookworm"
FORMAT = 1  # of the folder in the cache; a new number makes every folder anew
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "qemu_fw_cfg", "pvpanic-pci")
"""What a guest needs before it can read the rest from the host; some kernels have them built in."""


class StockKernel(Kernel):
    """A kernel of Debian's: a folder in the cache with its image and its modules."""

    stock = True

    @property
    def image(self) -> Path:
        """The bootable image."""
        return self.folder / "vmlinuz"

    @property
    def modules_folder(self) -> Path:
        """What is /lib/modules/RELEASE where the kernel is installed."""
        return self.folder / "modules"

    def boot_modules(self) -> dict[str, bytes]:
        """Returns the modules that a guest boots with, by file name, in the order of loading."""
        order: list[str] = []
        for name in BOOT_MODULES:
            order += [one for one in self._with_dependencies(name) if one not in order]
        return {_plain(name): _decompressed(self.modules_folder / name) for name in order}

    def _with_dependencies(self, name: str) -> list[str]:
        """Returns a module's path after those of its dependencies; empty if it is built in."""
        for line in (self.modules_folder / "modules.dep").read_text().splitlines():
            path, _, needed = line.partition(":")
            if _plain(path) == f"{name}.ko":
                return [*reversed(needed.split()), path]
        built_in = (self.modules_folder / "modules.builtin").read_text().splitlines()
        if not any(_plain(path) == f"{name}.ko" for path in built_in):
            raise GuestError(f"{self.release} has no module {name}, which guests need")
        return []


def stock_kernel(name: str, progress: debs.Progress = debs.silent) -> StockKernel:
    """Returns Debian's kernel `name` (a key of SUITES), downloaded once, then cached.

    Raises GuestError, BuildError, debs.Unavailable.
    """
    root = debs.binaries(
        [PACKAGE],
        suites=SUITES[name],
        name=f"debian-kernel-{name}",
        dependencies="linux-",
        progress=progress,
    )
    version = debs.manifest(root)[PACKAGE].replace("~", "-")
    target = debs.cache_dir() / "guest" / f"debian-{version}-{FORMAT}"
    build = functools.partial(_unfold, root, progress)
    return StockKernel(debs.build_once(target, build, progress))


def _unfold(root: Path, progress: debs.Progress, work: Path, _lock: int) -> None:
    """Links the image and the modules into `work/result`, and lists their dependencies."""
    progress("listing the kernel's modules", None)
    (folder,) = (root / "usr/lib/modules").iterdir()
    images = [root / "boot" / f"vmlinuz-{folder.name}", folder / "vmlinuz"]
    image = next((path for path in images if path.exists()), None)
    if image is None:
        raise GuestError(f"Debian's package of {folder.name} has no kernel image")
    result = work / "result"
    os.link(image, result / "vmlinuz")
    shutil.copytree(folder, result / "modules", symlinks=True, copy_function=os.link)
    (result / "release").write_text(folder.name)
    _list_dependencies(result, folder.name, work / "depmod", progress)


def _list_dependencies(result: Path, release: str, base: Path, progress: debs.Progress) -> None:
    """Runs depmod, as a kernel's installation does."""
    shutil.rmtree(base, ignore_errors=True)
    (base / "lib/modules").mkdir(parents=True)
    (base / "lib/modules" / release).symlink_to(result / "modules")
    done = subprocess.run([*_depmod(progress), "-b", str(base), release], capture_output=True)
    if done.returncode:
        log = base.with_name("depmod.log")
        log.write_bytes(done.stdout + done.stderr)
        raise BuildError("depmod", log)


def _depmod(progress: debs.Progress) -> list[str]:
    """Returns the installed depmod, or that of an unpacked package."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if installed := shutil.which("depmod", path=path):
        return [installed]
    root = debs.binaries(["kmod"], suites=(KMOD_SUITE,), name="kmod", progress=progress)
    program = debs.command(root, "usr/bin/kmod")
    program[program.index("--argv0") + 1] = "depmod"
    return program


def _plain(path: str) -> str:
    """Returns a module's file name without the folder and the suffix of a compression."""
    return path.rpartition("/")[2].removesuffix(".xz")


def _decompressed(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
