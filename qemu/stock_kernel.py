"""Debian's kernels as they are: packages unpacked in the user's cache, nothing built or patched.

They leave CONFIG_PROC_VMCORE_DEVICE_DUMP off, so their crash kernels hold no device dump.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from vmcoredd import debs

from .errors import GuestError
from .kernel import Kernel
from .modules import by_name, list_dependencies, name_of

PACKAGE = "linux-image-amd64"
SUITES = {
    "6.1": ("bookworm",),
    "6.12": ("trixie",),
    "newest": ("trixie", "trixie-backports"),  # its dependencies are in trixie
}
FORMAT = 1  # of the folder in the cache; a new number makes every folder anew


class StockKernel(Kernel):
    """A kernel of Debian's: a folder in the cache with its image and its modules."""

    stock = True

    @property
    def image(self) -> Path:
        """The bootable image."""
        return self.folder / "vmlinuz"

    @property
    def symbols_are_in(self) -> str:
        """The package with this kernel's symbols, which drgn and gdb find once it is installed."""
        return f"Debian's package linux-image-{self.release}-dbg"

    @property
    def installed_modules(self) -> Path:
        """What is /lib/modules/RELEASE where the kernel is installed, as depmod leaves it."""
        return self.modules_folder

    @functools.cached_property
    def modules(self) -> dict[str, Path]:
        """Each module's file by the module's name."""
        return by_name(sorted(self.modules_folder.rglob("*.ko*")))

    def is_built_in(self, module: str) -> bool:
        """Returns True if the package says that it has the module built in."""
        built_in = (self.modules_folder / "modules.builtin").read_text().splitlines()
        return module in map(name_of, built_in)


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
    list_dependencies(result / "modules", folder.name, work / "depmod", progress)
