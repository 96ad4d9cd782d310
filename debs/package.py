"""Builds this checkout's own Debian packages: `python3 -m vmcoredd.debs.package [FOLDER]`.

`debian/` describes them. The source package has libvfio-user's source as a second archive, so that
a build from it downloads nothing. The binary packages are built in a chroot of Debian 12, without
a network, as an ordinary user, and lintian judges them; they install on Debian 13 as well. As
Debian 12's typer is too old, Debian 13's package of it is put beside them.

FOLDER is `build/deb` unless given. This needs root, for the chroot.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path

from . import chroot, libvfio_user
from .cache import Progress, silent
from .errors import Unavailable
from .packages import archives

ROOT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
"""The oldest that is supported."""
NEWER = {"python3-typer": "trixie"}
"""What is too old in `SUITE`, and where it is new enough."""
LIBRARY = "libvfio-user"
"""The name of the second archive, and its folder. It holds what `unpack_source` unpacks."""
UNJUDGED = (
    "bogus-mail-host",  # the project has no mail address
    "bogus-mail-host-in-debian-changelog",
    "initial-upload-closes-no-bugs",  # this is no upload to Debian
)
"""What lintian is not asked."""
BUILD = """\
mkdir source
cd source
tar -x --strip-components=1 -f ../{source}.orig.tar.xz
tar -xf ../{source}.orig-{library}.tar.xz
tar -xf ../debian.tar
rm ../debian.tar
DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -us -uc
lintian --fail-on error,warning --suppress-tags {unjudged} ../*.changes
rm -r ../source
"""


def build(output: Path, progress: Progress = silent, suite: str = SUITE) -> str:
    """Builds source and binary packages into `output`. Returns what the build said.

    A file of the same name in `output` is replaced. Raises Unavailable.
    """
    source, date = newest_entry()
    base = chroot.make(suite, [*build_dependencies(), "build-essential", "lintian"], progress)
    with tempfile.TemporaryDirectory(prefix="vmcoredd-deb-") as folder:
        work = Path(folder)
        _write_archives(work, source, date, progress)
        for path in (work, *work.iterdir()):
            os.chown(path, chroot.NOBODY, chroot.NOBODY)
        progress(f"building in a chroot of Debian {suite}", None)
        script = BUILD.format(source=source, library=LIBRARY, unjudged=",".join(UNJUDGED))
        done = chroot.run(base, script, shared=work)
        if done.returncode:
            why = "their build failed:\n" + "\n".join(done.stdout.splitlines()[-40:])
            raise Unavailable("the packages", why, "This is a fault in debian/ or in the source")
        output.mkdir(parents=True, exist_ok=True)
        for file in work.iterdir():
            shutil.copy(file, output)
    for name, other in NEWER.items():
        for file in archives([name], suite=other, name=name, progress=progress):
            shutil.copy(file, output)
    return done.stdout


def build_dependencies() -> list[str]:
    """Returns the packages in `Build-Depends` of debian/control, without versions."""
    text = (ROOT / "debian/control").read_text()
    found = re.search(r"(?m)^Build-Depends:((?:\n .*)+)", text)
    return re.findall(r"(?m)^ ([\w.+-]+)", found[1]) if found else []


def newest_entry() -> tuple[str, int]:
    """Returns `NAME_UPSTREAMVERSION` and the time of debian/changelog's newest entry."""
    text = (ROOT / "debian/changelog").read_text()
    name, version = re.findall(r"^(\S+) \((\S+)-[^-]+\)", text)[0]
    date = re.findall(r"(?m)^ -- .*>  (.+)$", text)[0]
    return f"{name}_{version}", int(parsedate_to_datetime(date).timestamp())


def _write_archives(work: Path, source: str, date: int, progress: Progress) -> None:
    """Writes the two upstream archives and debian.tar, from what git tracks here."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise Unavailable(f"the checkout {ROOT}", listed.stderr.strip(), "Run this in a checkout")
    names = [name for name in listed.stdout.split("\0") if name and os.path.lexists(ROOT / name)]
    ours = {name for name in names if name.startswith("debian/")}
    top = source.replace("_", "-")
    _archive(work / f"{source}.orig.tar.xz", ROOT, sorted({*names} - ours), date, top)
    _archive(work / "debian.tar", ROOT, sorted(ours), date)
    library = libvfio_user.unpack_source(progress)
    files = [path for path in sorted(library.rglob("*")) if path.is_symlink() or path.is_file()]
    inside = [str(path.relative_to(library)) for path in files]
    _archive(work / f"{source}.orig-{LIBRARY}.tar.xz", library, inside, date, LIBRARY)


def _archive(file: Path, folder: Path, names: Iterable[str], date: int, top: str = "") -> None:
    """Writes `names` of `folder` below `top`; the same content gives the same archive."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime, member.uid, member.gid, member.uname, member.gname = date, 0, 0, "", ""
        member.mode = 0o755 if member.mode & 0o100 else 0o644
        return member

    mode = "w:xz" if file.suffix == ".xz" else "w"
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]
        for name in names:
            archive.add(folder / name, os.path.join(top, name), recursive=False, filter=plain)
    file.chmod(0o644)


def main(argv: list[str]) -> int:
    """Builds, and lists the files. Returns 1 if that failed."""
    output = Path(argv[0]) if argv else ROOT / "build/deb"
    try:
        print(build(output, lambda what, _: print(what, flush=True)), end="")
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(*sorted(map(str, output.iterdir())), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
