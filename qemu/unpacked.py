"""The packed parts of a user's kernel: packages, and archives of modules.

Each is unpacked in the user's cache, once for each content, and its modules are listed (depmod).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from vmcoredd import debs

from .errors import GuestError
from .modules import list_dependencies

PACKAGES = (".deb", ".rpm")
"""The suffixes of packages that can be unpacked."""
MODULES = ("lib/modules", "usr/lib/modules")
"""Where packages have a folder of modules for each release."""
FORMAT = 2  # of the folders in the cache; a new number makes them anew


def unpacked_packages(packages: Sequence[Path], progress: debs.Progress) -> Path:
    """Returns a folder with the files of all `packages`, as their installation leaves them.

    Raises GuestError and debs.Unavailable.
    """

    def unpack(result: Path) -> None:
        for package in packages:
            progress(f"unpacking {package.name}", None)
            if package.suffix == ".deb":
                debs.unpack(package, result)
            else:
                _unpack(package, _bsdtar(progress), result)

    return _unpacked("package", packages, unpack, progress)


def unpacked_modules(archive: Path, progress: debs.Progress) -> Path:
    """Returns a folder with the content of a tar archive: lib/modules/RELEASE.

    Raises GuestError.
    """

    def unpack(result: Path) -> None:
        progress(f"unpacking {archive.name}", None)
        _unpack(archive, ["tar"], result)

    return _unpacked("modules", [archive], unpack, progress)


def module_folders(roots: Iterable[Path], release: str) -> Iterator[Path]:
    """Yields the folders of a release's modules that there are in root folders."""
    for root in roots:
        for below in MODULES:
            if (found := root / below / release).is_dir():
                yield found


def _unpacked(
    kind: str, paths: Sequence[Path], unpack: Callable[[Path], None], progress: debs.Progress
) -> Path:
    def build(work: Path, _lock: int) -> None:
        result = work / "result"
        unpack(result)
        for folder in (found for below in MODULES for found in (result / below).glob("*/")):
            if folder.resolve().is_relative_to(result.resolve()):  # a link may lead elsewhere
                list_dependencies(folder, folder.name, work / "depmod", progress)

    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    name = f"{kind}-{FORMAT}-{digest.hexdigest()[:12]}"
    return debs.build_once(debs.cache_dir() / "guest" / name, build, progress)


def _unpack(archive: Path, tar: Sequence[str], result: Path) -> None:
    command = [*tar, "-x", "--no-same-owner", "-f", str(archive), "-C", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise GuestError(f"{archive} cannot be unpacked: {done.stderr.strip()[-300:]}")


def _bsdtar(progress: debs.Progress) -> list[str]:
    """Returns the command that unpacks RPM packages too; Debian's, if none is installed."""
    if shutil.which("bsdtar"):
        return ["bsdtar"]
    root = debs.binaries(
        ["libarchive-tools"], suites=(debs.codename(),), name="bsdtar", progress=progress
    )
    return debs.command(root, "usr/bin/bsdtar")
