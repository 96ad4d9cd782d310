"""The kernel's own tests of network drivers, made ready for a guest; nothing of them is kept here.

They come from the newest `linux-source` in reach, whichever kernel the guest runs, and their C
programs are compiled once. They run in a root folder of their own, with the commands of one suite
of Debian's, so that they end alike on every host: `archive` returns both as one file.

A program prints its results as KTAP; `cases` reads them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs
from vmcoredd.qemu.kernel import KernelSource, kernel_source

SUITE = "trixie"
COMMANDS = (
    *("bash", "bc", "coreutils", "dash", "ethtool", "findutils", "grep", "iperf3", "iproute2"),
    *("iputils-ping", "jq", "kmod", "netsniff-ng", "procps", "python3", "python3-yaml", "sed"),
    *("socat", "util-linux"),
)
"""The packages whose commands the selftests run; their dependencies come with them."""
UNUSED = (
    *("selftests/include", "usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/perl"),
    "usr/lib/*/perl*",
)
PARTS = (
    *("MAINTAINERS", "Documentation/netlink", "include/uapi", "tools/net/ynl", "tools/scripts"),
    *(f"tools/testing/selftests/{name}" for name in ("drivers/net", "kselftest", "kselftest.h")),
    *(f"tools/testing/selftests/net/{name}" for name in ("forwarding", "lib", "lib.sh")),
)
"""What of the kernel's source the tests need; `MAINTAINERS` marks its top."""
SELFTESTS = Path("selftests/tools/testing/selftests")
FORMAT = 1  # of the archive; a new number makes it anew
UAPI = "../../../include/uapi"
GENERATED = ("typelimits", "ethtool", "ethtool_netlink", "ethtool_netlink_generated")
"""Headers that what is generated from ethtool's description needs, newer than the host's."""
PROGRAMS: dict[str, tuple[str, ...]] = {
    "net/lib/csum": (),
    "net/lib/gro": (),
    "net/lib/xdp_helper": (),
    "drivers/net/napi_id_helper": (),
    "drivers/net/so_txtime": (),
    "drivers/net/hw/toeplitz": (
        *("-I../../net/ynl/lib", "-I../../net/ynl/generated"),
        *(
            f"-D_LINUX_{name.upper()}_H{'_' if name == 'ethtool_netlink' else ''}"
            for name in GENERATED
        ),
        *(word for name in GENERATED for word in ("-include", f"{UAPI}/linux/{name}.h")),
        "../../net/ynl/libynl.a",
    ),
}
"""The C programs, and what of gcc's arguments is their own."""


@dataclass(frozen=True)
class Case:
    """A result: its name without its number, `ok`, what follows `#`, and the lines before it."""

    name: str
    ok: bool
    directive: str = ""
    notes: str = ""

    @property
    def outcome(self) -> str:
        """Returns `pass`, `skip` or `fail`; an expected failure (XFAIL) counts as a skip."""
        if self.directive.startswith(("SKIP", "XFAIL")):
            return "skip"
        return "pass" if self.ok else "fail"


RESULT = re.compile(r"(not )?ok \d+ (?:- )?(\S+)(?: *# *(.*))?$")


def cases(name: str, output: str) -> list[Case]:
    """Returns the results in a program's output; one failure called `name` if it has none."""
    found, notes = [], []
    for line in output.splitlines():
        if match := RESULT.match(line):
            failed, case, directive = match.groups()
            found.append(Case(case, not failed, directive or "", "\n".join(notes)))
            notes = []
        else:
            notes.append(line)
    return found or [Case(name, False, notes=output)]


def archive(progress: debs.Progress = debs.silent) -> Path:
    """Returns a tar file: a root folder with `COMMANDS`, and the kernel's tests in `/selftests`.

    It is made once, in a minute, then cached. Raises debs.Unavailable, CalledProcessError.
    """
    source = kernel_source("newest", progress)
    root = debs.binaries(COMMANDS, suites=(SUITE,), name="selftest-commands", progress=progress)
    compiler = subprocess.run(["gcc", "--version"], check=True, capture_output=True).stdout
    inputs = (FORMAT, source.version, root.name, compiler, PARTS, PROGRAMS, UNUSED)
    key = hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]
    build = functools.partial(_build, source, root, progress)
    target = debs.cache_dir() / "guest" / f"selftests-{source.version}-{key}"
    return debs.build_once(target, build, progress) / "selftests.tar"


def _build(
    source: KernelSource, root: Path, progress: debs.Progress, work: Path, lock: int
) -> None:
    run = functools.partial(_run, lock=lock)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    run(["cp", "-a", str(root), str(tree)], work)
    (tree / "selftests").mkdir()
    progress(f"unpacking the selftests of linux {source.version}", None)
    run(_unpack(source.archive), tree / "selftests")
    progress("compiling the selftests", None)
    _compile(tree, run)
    _compile_modules(tree, run)
    unused = [f"--exclude=./{name}" for name in UNUSED]
    archive = str(work / "result/selftests.tar")
    run(["tar", "-c", "-f", archive, *unused, "-C", str(tree), "."], work)


def _run(
    command: Sequence[str], folder: Path, environment: dict[str, str] | None = None, *, lock: int
) -> None:
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        pass_fds=(lock,),
    )


def _unpack(archive: Path) -> list[str]:
    top = archive.name.removesuffix(".tar.xz")
    parts = [f"{top}/{part}" for part in PARTS]
    return ["tar", "-x", "--strip-components=1", "-I", "xz -T0", "-f", str(archive), *parts]


def _compile(tree: Path, run: functools.partial[None]) -> None:
    """Compiles `PROGRAMS`, without shared libraries: the root's may be older than the host's."""
    ynl = tree / "selftests/tools/net/ynl"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    python = {"PATH": path, "PYTHONPATH": str(tree / "usr/lib/python3/dist-packages")}
    run(["make", "GENS=ethtool", "RSTS=", "libynl.a"], ynl, python)
    for program, arguments in PROGRAMS.items():
        gcc = ["gcc", "-static", "-O2", "-w", "-I.", "-idirafter", UAPI, "-o", program]
        run([*gcc, f"{program}.c", *arguments], tree / SELFTESTS)


def _compile_modules(tree: Path, run: functools.partial[None]) -> None:
    """Has the root's Python compile the modules that all selftests import: guests are slow."""
    places = {"PYTHONHOME": "usr", "PYTHONPATH": f"usr/lib/python3/dist-packages:{SELFTESTS}"}
    environment = {name: _under(tree, value) for name, value in places.items()}
    environment["PYTHONDONTWRITEBYTECODE"] = ""
    run([*debs.command(tree, "usr/bin/python3"), "-c", "import net.lib.py"], tree, environment)


def _under(tree: Path, paths: str) -> str:
    return ":".join(str(tree / path) for path in paths.split(":"))
