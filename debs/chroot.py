"""Debian systems in folders, made once and used in copies that vanish with the command.

    base = chroot.make("bookworm", ["debhelper"])
    chroot.run(base, "id >here", shared=folder)

Making and using one needs root. Every mount is in a namespace that ends with its command, so that
nothing stays mounted. Commands have no network.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .apt import NETWORK, architecture
from .cache import Progress, build_once, cache_dir, silent
from .children import bound, running
from .errors import Unavailable
from .mirrors import Mirror, codename, mirrors
from .packages import binaries

PRIVATE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
"""Ends with all its children, but ignores SIGTERM: it is bound by SIGKILL."""
NOBODY = 65534
"""The user and group of `run`."""
LONGEST = 3600
"""Seconds that a script may take."""

ENTER = """\
set -eu
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
mkdir "$2/root/shared"
mount --bind "$3" "$2/root/shared"
mount -t proc proc "$2/root/proc"
exec chroot --userspec="$4" "$2/root" \
    env -i HOME=/nonexistent LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    sh -euc "cd /shared; $5"
"""


def make(suite: str, packages: Iterable[str], progress: Progress = silent) -> Path:
    """Returns a folder with a small Debian of that suite, and `packages` installed.

    It is in the cache, and is not to be changed: `run` works on a copy. Raises Unavailable.
    """
    _need_root()
    wanted = sorted({*packages})
    key = hashlib.sha256(repr((architecture(), wanted)).encode()).hexdigest()[:12]
    build = functools.partial(_make, suite, wanted, progress)
    return build_once(cache_dir() / "chroots" / f"{suite}-{key}", build, progress)


def run(
    base: Path, script: str, *, shared: Path, user: int = NOBODY
) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a copy of `base`, which is dropped afterwards.

    The copy is in memory: write what is large, or is to stay, into the current folder, `/shared`.
    That is `shared` itself. Returns the output, with that of standard error in its place. Raises
    Unavailable without root, or if the script takes longer than `LONGEST`.
    """
    _need_root()
    with tempfile.TemporaryDirectory(prefix="vmcoredd-chroot-") as scratch:
        arguments = [str(base), scratch, str(shared), f"{user}:{user}", script]
        command = [*PRIVATE, "--net", "sh", "-c", ENTER, "sh", *arguments]
        try:
            return subprocess.run(
                bound(command, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired as error:
            why = f"a script took more than {LONGEST} seconds"
            raise Unavailable("a Debian in a folder", why, "Try again") from error


def _need_root() -> None:
    if os.geteuid() != 0:
        raise Unavailable("a Debian in a folder", "this needs root", "Run it as root, or with sudo")


def _make(suite: str, packages: list[str], progress: Progress, work: Path, lock: int) -> None:
    tool = binaries(["mmdebstrap"], suites=[codename()], name="mmdebstrap", dependencies=False)
    reasons = []
    for mirror in mirrors():
        try:
            _try(mirror, suite, packages, tool / "usr/bin/mmdebstrap", progress, work, lock)
        except Unavailable as error:
            reasons.append(f"{mirror.uri}: {error.why}")
        else:
            return
    raise Unavailable(f"Debian {suite}", "; ".join(reasons), NETWORK)


def _try(
    mirror: Mirror,
    suite: str,
    packages: list[str],
    tool: Path,
    progress: Progress,
    work: Path,
    lock: int,
) -> None:
    """Makes `work/result` with packages of `mirror`."""
    progress(f"installing Debian {suite} into a folder", None)
    shutil.rmtree(work / "result")  # of another mirror
    (work / "result").mkdir()
    sources = work / "apt.sources"
    sources.write_text(mirror.stanza("deb", (suite,)))
    options = ["--mode=root", "--variant=minbase", "--format=directory"]
    options += ["--dpkgopt=force-unsafe-io", f"--include={','.join(packages)}"]
    arguments = [*options, suite, str(work / "result"), str(sources)]
    command = bound([*PRIVATE, "perl", str(tool), *arguments], signal.SIGKILL)
    with (work / "log").open("w+") as log:
        with running(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock]
        ) as process:
            process.wait()
        log.seek(0)
        said = log.read()
    if process.returncode:
        errors = re.findall(r"(?m)^E: *(.+)", said) or said.splitlines()[-1:]
        raise Unavailable(shlex.join(command), "; ".join(errors[:2]), NETWORK)
