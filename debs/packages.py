"""Debian's binary and source packages, unpacked in the cache folder."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import mirrors
from .apt import Apt, architecture
from .cache import Progress, build_once, cache_dir, silent
from .errors import Unavailable

MANIFEST = ".debs.json"
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def binaries(
    packages: Sequence[str],
    *,
    suites: Sequence[str],
    name: str,
    dependencies: bool | str = True,
    progress: Progress = silent,
) -> Path:
    """Returns a private root folder with `packages` and their dependencies, unpacked.

    Without `dependencies` it holds only `packages`; if that is a text, also those dependencies
    whose names begin with it. Nothing is installed and no maintainer script runs. `suites` are used
    together; a package comes from the last suite that has it (`("trixie", "trixie-backports")`:
    backports first). The folder is cached under a key of these arguments. `name` makes its path
    readable. `manifest(root)` returns the versions.

    Raises Unavailable.
    """
    suites = tuple(suites)
    key = _key("binaries", architecture(), sorted(packages), suites, dependencies)
    build = functools.partial(_build_root, packages, suites, dependencies, progress)
    return build_once(cache_dir() / "debs" / f"{name}-{key}", build, progress)


def archives(
    packages: Sequence[str], *, suite: str, name: str, progress: Progress = silent
) -> list[Path]:
    """Returns the `.deb` files of `packages`, without their dependencies. Raises Unavailable."""
    key = _key("archives", architecture(), sorted(packages), suite)
    build = functools.partial(_download, packages, suite, progress)
    folder = build_once(cache_dir() / "debs" / f"{name}-{key}", build, progress)
    return sorted(folder.glob("*.deb"))


def source(
    package: str,
    *,
    suites: Sequence[str],
    only: Sequence[str] = (),
    progress: Progress = silent,
) -> Path:
    """Returns the upstream source of a Debian source package, unpacked.

    It comes from the first of `suites` that has it. With `only`, unpacks just these folders or
    files of the source, at their usual paths. Debian's patches are not applied and dpkg-source is
    not needed. apt verifies every file's checksum against the signed archive.

    Raises Unavailable.
    """
    key = _key("source", package, tuple(suites), tuple(only))
    build = functools.partial(_build_source, package, tuple(suites), tuple(only), progress)
    return build_once(cache_dir() / "debs" / f"{package}-source-{key}", build, progress)


def manifest(folder: Path) -> dict[str, str]:
    """Returns the version of each package that `binaries` or `source` unpacked into `folder`."""
    versions: dict[str, str] = json.loads((folder / MANIFEST).read_text())
    return versions


def _key(*inputs: object) -> str:
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


def _build_root(
    packages: Sequence[str],
    suites: tuple[str, ...],
    dependencies: bool | str,
    progress: Progress,
    work: Path,
    lock: int,
) -> None:
    apt = Apt(work, lock, progress)
    apt.update(mirrors.mirrors(), "deb", suites)
    archives = work / "archives"
    doing = f"downloading {' '.join(packages)}"
    if dependencies is True:
        apt.run(doing, "install", "--download-only", "-t", suites[-1], *packages)
    else:
        if dependencies:
            listed = apt.run(doing, "install", "--print-uris", "-t", suites[-1], *packages)
            packages = [name for name in _names(listed) if name.startswith(dependencies)]
        apt.run(doing, "download", "-t", suites[-1], *packages, cwd=archives)
    _unpack_all(sorted(archives.glob("*.deb")), work / "result", progress)


def _download(
    packages: Sequence[str], suite: str, progress: Progress, work: Path, lock: int
) -> None:
    apt = Apt(work, lock, progress)
    apt.update(mirrors.mirrors(), "deb", (suite,))
    apt.run(f"downloading {' '.join(packages)}", "download", *packages, cwd=work / "result")


def _names(listed: str) -> list[str]:
    """Returns the packages in the output of `--print-uris`: 'URI' NAME_VERSION_ARCH.deb SIZE ..."""
    return re.findall(r"(?m)^'\S+' ([^_\s]+)_\S+\.deb ", listed)


def _unpack_all(archives: list[Path], root: Path, progress: Progress) -> None:
    """Unpacks `archives` over each other, with /usr merged as in Debian since bookworm."""
    for link, target in MERGED.items():
        (root / target).mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    versions = {}
    for done, archive in enumerate(archives):
        progress("unpacking", done / len(archives))
        package, version, _ = archive.stem.rsplit("_", 2)
        versions[package] = version.replace("%3a", ":")
        unpack(archive, root)
    (root / MANIFEST).write_text(json.dumps(versions, indent=1))
    progress("unpacking", 1.0)


def unpack(archive: Path, root: Path) -> None:
    """Adds the files of a binary package to the folder `root`. Raises Unavailable.

    `dpkg-deb -x` would replace the links of a merged /usr.
    """
    if not shutil.which("dpkg-deb"):
        raise Unavailable("dpkg-deb", "it is not installed", "This needs a Debian machine")
    tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE
    ) as deb:
        unpacked = subprocess.run(tar, stdin=deb.stdout, capture_output=True, text=True)
    if deb.returncode or unpacked.returncode:
        raise Unavailable(archive.name, unpacked.stderr.strip() or "dpkg-deb failed", DAMAGED)


DAMAGED = "Free some disk space, or clear the cache (vmcoredd cache clear) and try again"


def _build_source(
    package: str,
    suites: tuple[str, ...],
    only: tuple[str, ...],
    progress: Progress,
    work: Path,
    lock: int,
) -> None:
    result = work / "result"
    version = _download_source(package, suites, progress, work, lock)
    for archive, below in _originals(work / "archives", package):
        progress(f"unpacking {archive.name}", None)
        _unpack_source(archive, result, below, only)
    for name in only:
        if not (result / name).exists():
            raise Unavailable(f"{name} of {package} {version}", "it is not in the source", OTHER)
    (result / MANIFEST).write_text(json.dumps({package: version}))


OTHER = "Another suite may have it"


def _download_source(
    package: str, suites: tuple[str, ...], progress: Progress, work: Path, lock: int
) -> str:
    """Downloads the package to `work/archives` from the first suite that has it.

    Returns its version.
    """
    apt = Apt(work, lock, progress)
    reasons = []
    archives = work / "archives"
    for suite in suites:
        shutil.rmtree(archives, ignore_errors=True)
        try:
            (archives / "partial").mkdir(parents=True)
            apt.update(mirrors.mirrors(), "deb-src", (suite,))
            apt.run(
                f"downloading the source of {package} ({suite})",
                "source",
                "--download-only",
                "--only-source",
                package,
                cwd=archives,
            )
        except Unavailable as error:
            reasons.append(f"{suite}: {error.why}")
        else:
            return _version(archives)
    raise Unavailable(f"the source package {package}", "; ".join(reasons), mirrors.REMEDY)


def _version(archives: Path) -> str:
    text = next(archives.glob("*.dsc")).read_text(errors="replace")
    found = re.search(r"(?m)^Version: (\S+)", text)
    return found[1] if found else "unknown"


def _originals(archives: Path, package: str) -> Iterator[tuple[Path, str]]:
    """Yields upstream's archives with the folder of each: the top (""), or its component's."""
    for archive in sorted(archives.glob(f"{package}_*.orig*.tar.*")):
        if archive.suffix != ".asc":
            found = re.search(r"\.orig-([\w-]+)\.tar\.", archive.name)
            yield archive, found[1] if found else ""


def _unpack_source(archive: Path, result: Path, below: str, only: tuple[str, ...]) -> None:
    """Unpacks the members in `only` into `below` in `result`, without the archive's top folder.

    Python 3.11.4 and later also filter unsafe members; in any case the archive's checksum is
    Debian's.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, inner = member.name.removeprefix("./").partition("/")
            member.name = f"{below}/{inner}" if below else inner
            if not inner or not _wanted(member.name, only):
                continue
            if hasattr(tarfile, "data_filter"):
                tar.extract(member, result, filter="data")
            else:
                tar.extract(member, result)


def _wanted(name: str, only: tuple[str, ...]) -> bool:
    return not only or any(name == one or name.startswith(one + "/") for one in only)
