"""What `vmcoredd doctor` looks for on this machine. Downloads and builds nothing."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from vmcoredd import debs
from vmcoredd.plural import counted

KVM = Path("/dev/kvm")
MIB = 1 << 20
TEMPORARY_BYTES = 1 << 30
"""`guest live` keeps a guest's memory in a temporary folder."""


class State(StrEnum):
    """The state of a thing that commands need."""

    OK = "ok"
    LATER = "later"
    """It is downloaded or built at first use."""
    OPTIONAL = "optional"
    """Commands do without it."""
    MISSING = "missing"


class Check(NamedTuple):
    """One thing: what there is of it, who needs it, and the line to type if it is missing."""

    name: str
    state: State
    found: str
    needed_for: str
    remedy: str = ""
    free_bytes: int | None = None


def checks() -> Iterator[Check]:
    """Checks one thing after the other."""
    found = f"{platform.python_version()}, {platform.machine()}"
    yield Check("Python", State.OK, found, "everything")
    yield _libvfio_user()
    yield _module("qemu.qmp", "guests")
    yield _module("matplotlib", "plots of bench --output")
    yield _module("duckdb", "the archive of dumps")
    yield _programs("build tools", "build", "building from source, demo")
    yield _programs("kernel tools", "kernel", "building a guest's kernel, make test")
    yield _mirror()
    yield _qemu()
    yield from _kernels()
    yield _guest_commands()
    yield _kvm()
    yield _root()
    yield _cache()
    yield _space("temporary files", Path(tempfile.gettempdir()), TEMPORARY_BYTES, "guest live")
    yield _limit("open files", resource.RLIMIT_NOFILE, 1024, "guests with many memory devices")


def _libvfio_user() -> Check:
    name, needed_for = "libvfio-user", "emulate, demo, guests"
    try:
        import pyvfio_user
    except ModuleNotFoundError:
        return Check(name, State.MISSING, "no pyvfio_user", needed_for, "pip install ./pyvfio_user")
    version = pyvfio_user.library_version()
    if version:
        return Check(name, State.OK, version.partition(",")[0], needed_for)
    from vmcoredd.debs.libvfio_user import REMEDY

    return Check(name, State.MISSING, "not in this build", needed_for, REMEDY)


def _module(name: str, needed_for: str) -> Check:
    from vmcoredd.debs.errors import has_module, pip_line

    if has_module(name):
        return Check(name, State.OK, "installed", needed_for)
    return Check(name, State.MISSING, "not installed", needed_for, pip_line(name))


def _programs(name: str, purpose: str, needed_for: str) -> Check:
    from vmcoredd.debs.install import missing

    packages = missing(purpose)
    if not packages:
        return Check(name, State.OK, "installed", needed_for)
    line = f"{_sudo()}apt-get install {' '.join(packages)}"
    return Check(name, State.MISSING, f"no {', '.join(packages)}", needed_for, line)


def _mirror() -> Check:
    from vmcoredd.debs.mirrors import mirrors

    name, needed_for = "Debian mirror", "downloads: libvfio-user, QEMU, kernels"
    try:
        found = len(mirrors())
    except debs.Unavailable as error:
        return Check(name, State.MISSING, error.why, needed_for, error.remedy)
    return Check(name, State.OK, f"{found} in the apt sources", needed_for)


def _qemu() -> Check:
    from vmcoredd.qemu.program import look_for_qemu

    found, there = look_for_qemu()
    if there:
        return Check("QEMU", State.OK, found, "guests")
    return Check("QEMU", State.LATER, f"{found}; a guest downloads one", "guests")


def _kernels() -> Iterator[Check]:
    from vmcoredd.qemu.kernels import NAMES, is_cached, is_stock

    for name in NAMES:
        title, needed_for = f"kernel {name}", f"guests with --kernel {name}"
        made, making = ("unpacked", "downloads") if is_stock(name) else ("built", "builds")
        if is_cached(name):
            yield Check(title, State.OK, f"{made}, in the cache", needed_for)
        else:
            yield Check(title, State.LATER, f"a guest's first start {making} it", needed_for)


def _guest_commands() -> Check:
    from vmcoredd.qemu.root import default_folders, lacking

    name, needed_for = "guest commands", "guest run and guest shell"
    if packages := lacking(default_folders()):
        found = f"a guest downloads {counted(len(packages), 'package')}"
        return Check(name, State.LATER, found, needed_for)
    return Check(name, State.OK, "installed", needed_for)


def _kvm() -> Check:
    name, needed_for = str(KVM), "faster guests"
    if os.access(KVM, os.R_OK | os.W_OK):
        return Check(name, State.OK, "readable and writable", needed_for)
    if not KVM.exists():
        return Check(name, State.OPTIONAL, "absent: guests are emulated, slower", needed_for)
    line = f"{_sudo()}usermod -aG kvm $USER  # then log in again"
    return Check(name, State.OPTIONAL, "not permitted: guests are slower", needed_for, line)


def _root() -> Check:
    needed_for = "installing Debian packages"
    if os.geteuid() == 0:
        return Check("rights", State.OK, "root", needed_for)
    if shutil.which("sudo"):
        return Check("rights", State.OK, "sudo is installed", needed_for)
    return Check("rights", State.OPTIONAL, "neither root nor sudo", needed_for)


def _cache() -> Check:
    from vmcoredd.qemu.kernel import NEEDED_BYTES

    folder = debs.cache_dir()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    needed_for = "downloads and builds"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        line = "export XDG_CACHE_HOME=/a/folder/of/yours"
        return Check("cache", State.MISSING, f"{folder} is not writable", needed_for, line)
    return _space("cache", folder, NEEDED_BYTES, needed_for, "XDG_CACHE_HOME")


def _space(
    name: str, folder: Path, needed: int, needed_for: str, variable: str = "TMPDIR"
) -> Check:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    found = f"{free // MIB:,} MiB free in {folder}"
    if free >= needed:
        return Check(name, State.OK, found, needed_for, free_bytes=free)
    found += f", {needed // MIB:,} MiB needed"
    line = f"export {variable}=/a/folder/with/more"
    return Check(name, State.MISSING, found, needed_for, line, free)


def _limit(name: str, which: int, needed: int, needed_for: str) -> Check:
    soft, _ = resource.getrlimit(which)
    if soft == resource.RLIM_INFINITY:
        return Check(name, State.OK, "unlimited", needed_for)
    if soft >= needed:
        return Check(name, State.OK, f"at most {soft:,}", needed_for)
    return Check(name, State.OPTIONAL, f"at most {soft:,}", needed_for, f"ulimit -n {needed}")


def _sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "
