"""The guest's initramfs: Debian's busybox, kexec and ethtool, `inside/`, the driver's modules.

One archive serves the first kernel and the crash kernel. It is kept in the user's cache.

It is a cpio archive in the kernel's format `newc` (Documentation: initramfs buffer format), and
deterministic: equal contents give equal bytes. Members are sorted, owned by root and dated 1970;
their folders are added.
"""

from __future__ import annotations

import hashlib
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vmcoredd import debs

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
MAGIC = b"070701"
TRAILER = "TRAILER!!!"
ALIGNMENT = 4


def build_initramfs(kernel: Kernel, progress: debs.Progress = debs.silent) -> Path:
    """Returns the archive for guests that run `kernel`; builds it unless it is in the cache.

    Raises BuildError and debs.Unavailable.
    """
    root = debs.binaries(PACKAGES, suites=(SUITE,), name="initramfs", progress=progress)

    def build(work: Path, _lock: int) -> None:
        progress("building the guest's initramfs", None)
        members = _members(root, kernel, work)
        (work / "result" / "initramfs").write_bytes(archive(members))

    key = _key(debs.manifest(root), kernel)
    target = debs.cache_dir() / "guest" / f"initramfs-{kernel.release}-{key}"
    return debs.build_once(target, build, progress) / "initramfs"


def _key(packages: dict[str, str], kernel: Kernel) -> str:
    ours = [(path.name, path.read_bytes()) for path in sorted(INSIDE.iterdir())]
    made_by = Path(__file__).read_bytes()
    inputs = (sorted(packages.items()), str(kernel.folder), ours, made_by)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


# The archive


@dataclass(frozen=True)
class Member:
    """One inode of the archive: its mode with the type bits, and its content."""

    mode: int
    content: bytes = b""


def file(content: bytes, mode: int = 0o644) -> Member:
    """Returns a regular file."""
    return Member(stat.S_IFREG | mode, content)


def archive(members: Mapping[str, Member]) -> bytes:
    """Returns a cpio archive of `members`, keyed by absolute path without the leading `/`."""
    named = dict.fromkeys(_folders(members), Member(stat.S_IFDIR | 0o755)) | dict(members)
    records = [
        _record(inode, name, member)
        for inode, (name, member) in enumerate(sorted(named.items()), 1)
    ]
    return b"".join([*records, _record(0, TRAILER, Member(0))])


def _folders(names: Mapping[str, Member]) -> Iterator[str]:
    for name in names:
        for parent in PurePosixPath(name).parents:
            if parent != PurePosixPath("."):
                yield str(parent)


def _record(inode: int, name: str, member: Member) -> bytes:
    """Returns header (13 fields of 8 hex digits), name and content, each padded to 4 bytes."""
    path = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    owner, group, mtime = 0, 0, 0
    device = (0, 0, 0, 0)
    checksum = 0
    fields = (
        *(inode, member.mode, owner, group, links, mtime, len(member.content)),
        *(*device, len(path), checksum),
    )
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(member.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


# Its contents


def _members(root: Path, kernel: Kernel, work: Path) -> dict[str, Member]:
    members = {"init": _program(INSIDE / "init"), "bin/busybox": _program(root / "usr/bin/busybox")}
    members |= {f"bin/{name}": _program(INSIDE / name) for name in SCRIPTS}
    members |= {f"bin/{name}": _compiled(source, work) for name, source in TOOLS.items()}
    members |= _dynamic(root)
    return members | _modules(kernel.modules, work)


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
    """Returns Debian's programs and the libraries they need."""
    programs = {name: debs.inside(root, name) for name in PROGRAMS}
    members = {name: _program(path) for name, path in programs.items()}
    members[LOADER] = _program(debs.inside(root, LOADER))
    waiting = [*programs.values()]
    while waiting:
        for library in _needed(waiting.pop()):
            if f"lib/{library}" not in members:
                path = debs.inside(root, f"usr/lib/x86_64-linux-gnu/{library}")
                members[f"lib/{library}"] = _program(path)
                waiting.append(path)
    return members


def _needed(program: Path) -> list[str]:
    """Returns the libraries an ELF file needs (DT_NEEDED)."""
    done = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout)


def _modules(modules: dict[str, Path], work: Path) -> dict[str, Member]:
    """Returns the driver and its dependencies, without debug information, and their load order."""
    order = load_order(DRIVER, {name: path.read_bytes() for name, path in modules.items()})
    members = {"lib/modules/order": file("".join(f"{name}\n" for name in order).encode())}
    for name in order:
        stripped = work / f"{name}.ko"
        _run(("objcopy", "--strip-debug", modules[name], stripped), work)
        members[f"lib/modules/{name}.ko"] = file(stripped.read_bytes())
    return members


def load_order(module: str, modules: dict[str, bytes]) -> list[str]:
    """Returns `module` and the modules it depends on, each after its own dependencies.

    A module lists its dependencies in its `.modinfo` section as `depends=a,b`. All of them must be
    among `modules`.
    """
    found = re.search(rb"\0depends=([^\0]*)\0", modules[module])
    depends = [name for name in found[1].decode().split(",") if name] if found else []
    order: list[str] = []
    for name in depends:
        order += [known for known in load_order(name, modules) if known not in order]
    return [*order, module]
