"""The guest's initramfs: busybox, kexec and ethtool from Debian, our scripts, the driver's modules.

One archive serves the first kernel and the crash kernel. It is kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import build_once, silent

from . import cpio
from .errors import BuildError
from .kernel import Kernel

INSIDE = Path(__file__).with_name("inside")
PACKAGES = ("busybox-static", "kexec-tools", "ethtool")
SUITE = "bookworm"
PROGRAMS = ("usr/sbin/kexec", "usr/sbin/ethtool")
SCRIPTS = ("load-driver", "arm-crash-kernel", "panic", "lspci")
TOOLS = {"zero-page-insmod": "zero_page_insmod.c", "save-vmcore": "save_vmcore.c"}
DRIVER = "cxgb4"
LOADER = "lib64/ld-linux-x86-64.so.2"
COMPILE = ("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-static")


def initramfs(kernel: Kernel, progress: debs.Progress = silent) -> Path:
    """The archive for guests that run `kernel`, made if it was not before.

    Raises BuildError and debs.Unavailable.
    """
    root = debs.binaries(PACKAGES, suites=(SUITE,), name="initramfs", progress=progress)

    def build(work: Path, _lock: int) -> None:
        progress("making the guest's initramfs", None)
        entries = _entries(root, kernel, work)
        (work / "result" / "initramfs").write_bytes(cpio.archive(entries))

    key = _key(debs.manifest(root), kernel)
    target = debs.cache_dir() / "guest" / f"initramfs-{kernel.release}-{key}"
    return build_once(target, build, progress) / "initramfs"


def _key(packages: dict[str, str], kernel: Kernel) -> str:
    ours = [(path.name, path.read_bytes()) for path in sorted(INSIDE.iterdir())]
    made_by = Path(__file__).read_bytes()
    inputs = (sorted(packages.items()), str(kernel.folder), ours, made_by)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


def _entries(root: Path, kernel: Kernel, work: Path) -> dict[str, cpio.Entry]:
    entries = {"init": _program(INSIDE / "init"), "bin/busybox": _program(root / "usr/bin/busybox")}
    entries |= {f"bin/{name}": _program(INSIDE / name) for name in SCRIPTS}
    entries |= {f"bin/{name}": _compiled(source, work) for name, source in TOOLS.items()}
    entries |= _dynamic(root)
    return entries | _modules(kernel.modules, work)


def _program(path: Path) -> cpio.Entry:
    return cpio.file(path.read_bytes(), 0o755)


def _run(command: Iterable[str | Path], work: Path) -> bytes:
    """A command's standard output. Raises BuildError with what it said."""
    done = subprocess.run([*command], capture_output=True)
    if done.returncode:
        log = work / "initramfs.log"
        log.write_bytes(done.stdout + done.stderr)
        raise BuildError(" ".join(str(word) for word in command), log)
    return done.stdout


def _compiled(source: str, work: Path) -> cpio.Entry:
    """One of our C programs, static: the guest's libraries are not those of this machine."""
    path = work / source.removesuffix(".c")
    _run((*COMPILE, "-s", "-o", path, INSIDE / source), work)
    return _program(path)


def _dynamic(root: Path) -> dict[str, cpio.Entry]:
    """Debian's programs, and the libraries they need."""
    programs = {name: debs.inside(root, name) for name in PROGRAMS}
    entries = {name: _program(path) for name, path in programs.items()}
    entries[LOADER] = _program(debs.inside(root, LOADER))
    waiting = [*programs.values()]
    while waiting:
        for library in _needed(waiting.pop()):
            if f"lib/{library}" not in entries:
                path = debs.inside(root, f"usr/lib/x86_64-linux-gnu/{library}")
                entries[f"lib/{library}"] = _program(path)
                waiting.append(path)
    return entries


def _needed(program: Path) -> list[str]:
    """The libraries an ELF file asks for (DT_NEEDED)."""
    done = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout)


def _modules(modules: dict[str, Path], work: Path) -> dict[str, cpio.Entry]:
    """The driver and what it depends on, without debug information, and the order to load them."""
    order = load_order(DRIVER, {name: path.read_bytes() for name, path in modules.items()})
    entries = {"lib/modules/order": cpio.file("".join(f"{name}\n" for name in order).encode())}
    for name in order:
        stripped = work / f"{name}.ko"
        _run(("objcopy", "--strip-debug", modules[name], stripped), work)
        entries[f"lib/modules/{name}.ko"] = cpio.file(stripped.read_bytes())
    return entries


def load_order(module: str, modules: dict[str, bytes]) -> list[str]:
    """`module` and the modules it depends on, each behind its own dependencies.

    A module's dependencies stand in its `.modinfo` section as `depends=a,b`. What is not among
    `modules` is part of the kernel's image.
    """
    found = re.search(rb"\0depends=([^\0]*)\0", modules[module])
    depends = [name for name in found[1].decode().split(",") if name] if found else []
    order: list[str] = []
    for name in depends:
        order += [known for known in load_order(name, modules) if known not in order]
    return [*order, module]
