"""A kernel's modules as files: what they say of themselves, and in which order they are loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from vmcoredd import debs

from . import kernel_image
from .errors import BuildError, GuestError

KMOD_SUITE = "bookworm"
FILE = re.compile(r"(.+)\.ko(\.xz|\.gz|\.zst)?")
NONE: Mapping[str, bytes] = MappingProxyType({})
CHECKSUMS = "modversions"
"""With this in its vermagic, a module fits a kernel of another release if its checksums do."""
SIGNED = b"~Module signature appended~\n"
"""How a module ends that carries a signature, which stripping would remove."""


def name_of(path: str | Path) -> str:
    """Returns the name of the module in a file, `pvpanic_pci` for `pvpanic-pci.ko.xz`; else ''."""
    found = FILE.fullmatch(Path(path).name)
    return found[1].replace("-", "_") if found else ""


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Returns the files of modules among `paths` by the modules' names."""
    return {name: path for path in paths if (name := name_of(path))}


class Contents(Mapping[str, bytes]):
    """The modules in files, by name; each is read when it is asked for, and unpacked.

    `instead` has those that take the place of files.
    """

    def __init__(self, files: Mapping[str, Path], instead: Mapping[str, bytes] = NONE) -> None:
        self.files = files
        self.instead = instead

    def __getitem__(self, name: str) -> bytes:
        found = self.instead.get(name)
        return read(self.files[name]) if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self.files, **self.instead})

    def __len__(self) -> int:
        return len({**self.files, **self.instead})


def read(path: Path) -> bytes:
    """Returns a module's content, unpacked. Raises GuestError, debs.Unavailable."""
    try:
        return kernel_image.unpacked(path.read_bytes())
    except GuestError as error:
        raise GuestError(f"{path}: {error}") from error


def info(content: bytes, field: str) -> str | None:
    """Returns what a module says of itself in its section `.modinfo`, such as its `vermagic`."""
    found = re.search(rb"(?<![\w.])" + field.encode() + rb"=([^\0]*)\0", content)
    return found[1].decode(errors="replace") if found else None


def load_order(
    module: str, contents: Mapping[str, bytes], above: tuple[str, ...] = ()
) -> list[str]:
    """Returns `module` and the modules it depends on, each after its own dependencies.

    All of them must be in `contents`; else raises KeyError with the name of one that is not.
    Raises GuestError if one depends on itself, by way of those `above` it.
    """
    if module in above:
        raise GuestError(f"the module {module} depends on itself: {' -> '.join((*above, module))}")
    depends = info(contents[module], "depends") or ""
    order: list[str] = []
    for name in filter(None, depends.split(",")):
        needed = load_order(name.replace("-", "_"), contents, (*above, module))
        order += [known for known in needed if known not in order]
    return [*order, module]


def replacement(path: Path, vermagic: str, *, signed: bool) -> tuple[str, bytes]:
    """Returns the name and the content of the module in a file.

    Raises GuestError unless a kernel loads it whose modules have this `vermagic`, and which loads
    only those that are `signed` if that is set. Of a vermagic of one word only that is compared.
    """
    content = read(path)
    own = info(content, "vermagic") if content.startswith(b"\x7fELF") else None
    if own is None:
        raise GuestError(f"{path} is not a kernel's module: it has no vermagic")
    if not _fits(own.split(), vermagic.split()):
        raise GuestError(
            f"{path} was built for another kernel:\n"
            f"  its vermagic is {own.strip()}\n"
            f"  the kernel's is {vermagic.strip()}\n"
            "Build it in that kernel's tree: make M=drivers/net/ethernet/chelsio/cxgb4"
        )
    if signed and not content.endswith(SIGNED):
        raise GuestError(
            f"{path} has no signature, and the kernel loads no module without "
            "(CONFIG_MODULE_SIG_FORCE)"
        )
    return info(content, "name") or name_of(path), content


def _fits(module: list[str], kernel: list[str]) -> bool:
    """Compares as the kernel does (kernel/module/version.c: `same_magic()`)."""
    if len(kernel) == 1:
        return module[:1] == kernel
    if CHECKSUMS in module and CHECKSUMS in kernel:
        return module[1:] == kernel[1:]
    return module == kernel


def list_dependencies(
    folder: Path, release: str, work: Path, progress: debs.Progress = debs.silent
) -> None:
    """Runs depmod on a folder of modules, as a kernel's installation does.

    It needs an absent folder `work`. Raises BuildError, debs.Unavailable.
    """
    shutil.rmtree(work, ignore_errors=True)
    (work / "lib/modules").mkdir(parents=True)
    (work / "lib/modules" / release).symlink_to(folder)
    done = subprocess.run([*_depmod(progress), "-b", str(work), release], capture_output=True)
    if done.returncode:
        log = work.with_name("depmod.log")
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
