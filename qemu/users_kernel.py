"""A kernel of the user's own, by a path: a tree that is built, an image, a package, a folder.

What a path may name is in docs/how-to/guest.md. Nothing of it is changed: packages and archives are
unpacked in the user's cache.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs

from . import kernel_image
from .errors import GuestError
from .kernel import DRIVER, NEEDED_TO_BOOT, Kernel
from .kernel_config import OPTIONS, Config
from .modules import by_name, name_of, read
from .unpacked import MODULES, PACKAGES, module_folders, unpacked_modules, unpacked_packages

IN_TREE = Path("arch/x86/boot/bzImage")
IMAGES = ("bzImage", "vmlinuz", "vmlinuz-*", "boot/vmlinuz", "boot/vmlinuz-*")
"""Where a folder may have its image: what tuxmake and `make tar-pkg` leave, and packages."""
BESIDE_MODULES = tuple(f"{below}/*/vmlinuz" for below in MODULES)
"""Where packages have the image if their installation copies it to /boot."""
PACKED_MODULES = "modules.tar*"
"""The archive of modules that tuxmake leaves."""
BUILT = "make bzImage modules"
ALL_PACKAGES = "put all packages of the kernel into one folder, and name that"
INSTALLED_SYMBOLS = Path("/usr/lib/debug/boot")
"""Where a distribution's package of symbols puts them."""
DEPENDENCY = re.compile(r"(?m)^(?:source_\S+ :=|  )[ \t]*([^\s$]+)")
"""A file that an object was made of, in its `.cmd` file."""


@dataclass(frozen=True)
class UsersKernel(Kernel):
    """A kernel of the user's: where its parts are. `folder` has the image, `named` is what the user
    named, and `own_modules` a tree or a folder of modules, if there is one.
    """

    named: Path
    own_image: Path
    own_release: str
    own_modules: Path | None = None
    own_config: Config | None = None

    def __str__(self) -> str:
        """Returns the path that the user gave."""
        return str(self.named)

    @property
    def image(self) -> Path:
        """The bootable image, a bzImage."""
        return self.own_image

    @property
    def vmlinux(self) -> Path:
        """The same kernel with symbols and DWARF; it may be absent."""
        name = f"vmlinux-{self.release}"
        places = (self.folder / "vmlinux", self.folder / name, INSTALLED_SYMBOLS / name)
        return next((path for path in places if path.exists()), places[0])

    @property
    def release(self) -> str:
        """The guest's release, as `uname -r` prints it."""
        return self.own_release

    @property
    def config(self) -> Config | None:
        """The configuration; None if there is none to read."""
        return self.own_config

    @property
    def modules_folder(self) -> Path:
        """The modules' folder, which may be absent."""
        return self.own_modules or self.folder / "modules"

    @property
    def installed_modules(self) -> Path | None:
        """What is /lib/modules/RELEASE where the kernel is installed; None for a tree."""
        folder = self.modules_folder
        return folder.resolve() if (folder / "modules.dep").exists() else None

    @functools.cached_property
    def modules(self) -> dict[str, Path]:
        """Each module's file by the module's name; of a tree those that its last build made."""
        order = self.modules_folder / "modules.order"
        if not _is_tree(self.modules_folder) or not order.exists():
            return by_name(sorted(self.modules_folder.rglob("*.ko*")))
        listed = (line.removeprefix("kernel/") for line in order.read_text().splitlines())
        files = (self.modules_folder / re.sub(r"\.o$", ".ko", line) for line in listed)
        return by_name(path for path in files if path.exists())

    def is_built_in(self, module: str) -> bool | None:
        """Returns what the configuration says, or the build's list; None without both."""
        if self.config:
            return self.config.value(OPTIONS[module]) == "y"
        listed = self.modules_folder / "modules.builtin"
        if listed.exists():
            return module in map(name_of, listed.read_text().splitlines())
        return None


def users_kernel(path: Path, progress: debs.Progress = debs.silent) -> UsersKernel:
    """Returns the kernel that a path names.

    Raises GuestError if there is none that can be tried, and debs.Unavailable.
    """
    if not path.exists():
        raise GuestError(f"{path}: no such file or folder")
    if path.is_dir():
        return _of_folder(path, path, progress)
    if path.suffix in PACKAGES:
        return _of_folder(path, unpacked_packages([path], progress), progress)
    if path.absolute().match(str(IN_TREE)) and _is_tree(path.absolute().parents[3]):
        return _of_folder(path, path.absolute().parents[3], progress)
    if not kernel_image.is_image(path):
        raise GuestError(
            f"{path} is not a kernel: name a built tree, a bzImage, a package "
            f"({', '.join(PACKAGES)}), or a folder with an image and its modules, or with packages"
        )
    return _of_image(path, path, path.parent, progress)


def _of_folder(named: Path, folder: Path, progress: debs.Progress) -> UsersKernel:
    """Returns the kernel that is in a folder: a tree, or an image with its modules."""
    if _is_tree(folder):
        return _of_tree(named, folder)
    images = _images(folder, IMAGES) or _images(folder, BESIDE_MODULES)
    if not images and (folder / "Kbuild").exists():
        raise GuestError(f"{named} is not built: it has no {IN_TREE}. Run: {BUILT}")
    packages = sorted(path for path in folder.iterdir() if path.suffix in PACKAGES)
    if not images and packages:
        return _of_folder(named, unpacked_packages(packages, progress), progress)
    if not images:
        looked = ", ".join((*IMAGES, *BESIDE_MODULES))
        where = "name a folder that is built or has one" if named == folder else ALL_PACKAGES
        raise GuestError(f"{named} has no kernel's image ({looked}): {where}")
    if len(images) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in images)
        raise GuestError(f"{named} has {len(images)} kernels: name one of {names}")
    return _of_image(named, images[0], folder, progress)


def _images(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Returns the images in a folder, each once, though /lib may be a link to /usr/lib."""
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return sorted({path.resolve(): path for path in found}.values())


def _is_tree(folder: Path) -> bool:
    return (folder / IN_TREE).exists()


def _of_tree(named: Path, tree: Path) -> UsersKernel:
    tree = tree.resolve()
    image = tree / IN_TREE
    release = kernel_image.release(image)
    kernel = UsersKernel(
        tree, named, image, release, tree, _config(image, [tree / ".config"], None)
    )
    if stale := _stale(kernel.modules.get(DRIVER), tree):
        raise GuestError(f"{named}: {stale} is newer than what was built of it. Run: {BUILT}")
    return kernel


def _of_image(named: Path, image: Path, folder: Path, progress: debs.Progress) -> UsersKernel:
    """Returns the kernel of an image, with the modules beside it or in /lib/modules."""
    release = kernel_image.release(image)
    modules = next(filter(_has_modules, _modules(folder, release, progress)), None)
    configs = [folder / "config", folder / ".config", image.with_name(f"config-{release}")]
    configs += [image.with_name("config")]
    configs += [modules / "config", modules / "build/.config"] if modules else []
    config = _config(image, configs, modules)
    packed = named not in (image, folder)
    modular = any(config.value(OPTIONS[one]) == "m" for one in NEEDED_TO_BOOT) if config else packed
    if modular and not modules:
        where = f"modules and lib/modules/{release} in {folder}, nor /lib/modules/{release}"
        other = f": {ALL_PACKAGES}" if packed else ""
        raise GuestError(f"{named} needs its modules: there are neither {where}{other}")
    return UsersKernel(image.parent, named, image, release, modules, config)


def _modules(folder: Path, release: str, progress: debs.Progress) -> Iterator[Path]:
    """Yields the folders that may have the modules of a kernel whose image is in `folder`."""
    if (folder / "modules.dep").exists():
        yield folder
    for packed in sorted(folder.glob(PACKED_MODULES)):
        yield from module_folders([unpacked_modules(packed, progress)], release)
    if (folder / "modules").is_dir():
        yield folder / "modules"
    yield from module_folders([folder, folder.absolute().parent, Path("/")], release)


def _has_modules(folder: Path) -> bool:
    """Returns whether a folder has modules; a package of the image alone has the folder too."""
    return (folder / "modules.builtin").exists() or any(folder.rglob("*.ko*"))


def _config(image: Path, candidates: Iterable[Path], modules: Path | None) -> Config | None:
    """Returns the configuration: of a file, of the image itself, or of its module `configs`."""
    for path in candidates:
        if path.is_file():
            return Config.parse(path.read_text(errors="replace"), str(path))
    with contextlib.suppress(debs.Unavailable, GuestError):
        if text := kernel_image.config(image):
            return Config.parse(text, f"IKCONFIG in {image}")
    for path in modules.rglob("configs.ko*") if modules else ():
        if found := kernel_image.find_config(read(path)):
            return Config.parse(found, f"IKCONFIG in {path}")
    return None


def _stale(module: Path | None, tree: Path) -> str | None:
    """Returns a file that is newer than an object of the driver made of it, or None.

    A checkout of another commit changes sources; without this, the old module would be tried.
    """
    if module is None:
        return None
    times: dict[str, float | None] = {}
    name: str
    for command in sorted(module.parent.glob(".*.o.cmd")):
        made = module.parent / command.name[1:].removesuffix(".cmd")
        if not made.exists():
            continue
        for name in DEPENDENCY.findall(command.read_text(errors="replace")):
            if name not in times:
                times[name] = _time(tree / name)
            changed = times[name]
            if changed is not None and changed > made.stat().st_mtime:
                return name
    return None


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
