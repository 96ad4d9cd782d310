"""The guest's initramfs: Debian's busybox, kexec and ethtool, `inside/`, a kernel's modules.

One archive serves all guests, their first kernels and their crash kernels. It is kept in the user's
cache. The modules are a second archive behind it.

All that is ours lies in /guest, so that a guest can have the folders of the host (see `root.py`).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from vmcoredd import debs

from .archive import Member, archive, file
from .errors import BuildError
from .kernel import Kernel
from .modules import SIGNED

INSIDE = Path(__file__).with_name("inside")
PACKAGES = ("busybox-static", "kexec-tools", "ethtool")
SUITE = "bookworm"
PROGRAMS = ("usr/sbin/kexec", "usr/sbin/ethtool")
SCRIPTS = (
    *("load-driver", "arm-crash-kernel", "mount-root", "panic", "lspci"),
    *("join-wires", "start-traffic", "record-adapters"),
)
TOOLS = {
    "zero-page-insmod": "zero_page_insmod.c",
    "save-vmcore": "save_vmcore.c",
    "traffic": "traffic.c",
}
LOADER = "lib64/ld-linux-x86-64.so.2"
WRAPPER = """#!/bin/sh
exec /guest/lib/{loader} --library-path /guest/lib /guest/lib/{name} "$@"
"""
MADE_BY = ("initramfs.py", "archive.py")
COMPILE = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-static")


def build_initramfs(progress: debs.Progress = debs.silent) -> Path:
    """Returns the archive of all guests, without modules; builds it unless it is in the cache.

    Raises BuildError and debs.Unavailable.
    """
    root = debs.binaries(PACKAGES, suites=(SUITE,), name="initramfs", progress=progress)

    def build(work: Path, _lock: int) -> None:
        progress("building the guest's initramfs", None)
        (work / "result" / "initramfs").write_bytes(archive(_members(root, work)))

    target = debs.cache_dir() / "guest" / f"initramfs-{_key(debs.manifest(root))}"
    return debs.build_once(target, build, progress) / "initramfs"


def modules_archive(kernel: Kernel, module: Path | None = None) -> bytes:
    """Returns what follows that archive for guests that run `kernel`: the modules it boots with.

    Also the driver and what it depends on, unless the kernel has them in a folder for modprobe. The
    module in the file `module`, if any, replaces the one of its name.

    Raises GuestError, debs.Unavailable.
    """
    members = _ordered("guest/boot", kernel.boot_modules())
    if module or not kernel.stock:
        driver = kernel.driver_modules(module)
        members |= _ordered("guest/driver", driver) if driver else {}
    return archive(members)


def _key(packages: dict[str, str]) -> str:
    ours = [(path.name, path.read_bytes()) for path in sorted(INSIDE.iterdir())]
    made_by = [Path(__file__).with_name(name).read_bytes() for name in MADE_BY]
    inputs = (sorted(packages.items()), ours, made_by)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


# Its contents


def _members(root: Path, work: Path) -> dict[str, Member]:
    members = {"init": _program(INSIDE / "init")}
    members["guest/bin/busybox"] = _program(root / "usr/bin/busybox")
    members |= {f"guest/bin/{name}": _program(INSIDE / name) for name in SCRIPTS}
    members |= {f"guest/bin/{name}": _compiled(source, work) for name, source in TOOLS.items()}
    return members | _dynamic(root)


def _program(path: Path) -> Member:
    return file(path.read_bytes(), 0o755)


def _run(command: Iterable[str | Path], work: Path) -> bytes:
    """Returns a command's standard output. Raises BuildError with all its output."""
    done = subprocess.run([*command], capture_output=True)
    if done.returncode:
        log = work / "initramfs.log"
        log.write_bytes(done.stdout + done.stderr)
        raise BuildError(" ".join(str(word) for word in command), log)
    return done.stdout


def _compiled(source: str, work: Path) -> Member:
    """Compiles a program of `inside/`, statically: the guest does not have the host's libraries."""
    path = work / source.removesuffix(".c")
    _run((*COMPILE, "-s", "-o", path, INSIDE / source), work)
    return _program(path)


def _dynamic(root: Path) -> dict[str, Member]:
    """Returns Debian's programs, the libraries they need, and what starts them with these."""
    loader = debs.inside(root, LOADER)
    members = {f"guest/lib/{loader.name}": _program(loader)}
    waiting = [debs.inside(root, name) for name in PROGRAMS]
    for path in waiting:
        wrapper = WRAPPER.format(loader=loader.name, name=path.name)
        members[f"guest/bin/{path.name}"] = file(wrapper.encode(), 0o755)
    while waiting:
        path = waiting.pop()
        members[f"guest/lib/{path.name}"] = _program(path)
        for library in _needed(path):
            if f"guest/lib/{library}" not in members:
                found = debs.inside(root, f"usr/lib/x86_64-linux-gnu/{library}")
                members[f"guest/lib/{library}"] = _program(found)
                waiting.append(found)
    return members


def _needed(program: Path) -> list[str]:
    """Returns the libraries an ELF file needs (DT_NEEDED)."""
    done = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout)


def _ordered(folder: str, modules: Mapping[str, bytes]) -> dict[str, Member]:
    """Returns a folder of modules, stripped, with a list of them in the order of loading."""
    members = {f"{folder}/{name}": file(_stripped(one)) for name, one in modules.items()}
    members[f"{folder}/order"] = file("".join(f"{name}\n" for name in modules).encode())
    return members


def _stripped(module: bytes) -> bytes:
    """Returns a module without debug information, which needs much memory; signed ones as is."""
    if module.endswith(SIGNED):
        return module
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module"
        path.write_bytes(module)
        _run(("objcopy", "--strip-debug", path), Path(folder))
        return path.read_bytes()
