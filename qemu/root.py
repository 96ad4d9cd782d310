"""What of the host a guest can read: chosen folders, each its own read-only export.

A folder that is not exported cannot be seen by the guest at all, whatever its kernel tries; QEMU
follows no link out of an export. The guest sees each folder at its own path, under a layer of
memory that takes what the guest writes. By default these are /usr and what belongs to it. With /usr
come copies of a few public files of /etc; the accounts are the guest's own.

Commands that the host lacks, and the modules of Debian's kernels, come from Debian's packages,
unpacked in the user's cache.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import debs

from .archive import Member, archive, file, link
from .errors import GuestError
from .kernel import Kernel

USR, ETC = Path("/usr"), Path("/etc")
BESIDE_USR = tuple(map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")))
"""Folders that are links into /usr on most machines; where they are not, they are shared too."""
COMMANDS = {
    "bash": "bash",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "ping": "iputils-ping",
    "iperf3": "iperf3",
    "tcpdump": "tcpdump",
    "modprobe": "kmod",
    "python3": "python3",
}
"""The commands that users of a guest expect, and the Debian package of each."""
BINARIES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
COPIED = (
    *("alternatives", "ethertypes", "iproute2", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("localtime", "nsswitch.conf", "protocols", "services", "terminfo"),
)
"""What the guest gets copies of, from /etc: nothing of accounts, keys or the network's secrets."""
ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\ntcpdump:x:100:100::/:/bin/false\n"
    "nobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\ntcpdump:x:100:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
OWN = tuple(map(Path, ("/proc", "/sys", "/dev", "/guest", "/share")))
"""Folders that the guest has of its own and cannot do without."""
MOST = 7
"""Exports: functions of one slot beside that of /share."""
MOST_NAMED = MOST - 2
"""Folders that a user can name: packages and a kernel's modules are exports too."""


@dataclass(frozen=True)
class Mount:
    """A path in the guest, and the host's folders it shows; the first that has a file wins."""

    path: Path
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Root:
    """What a guest can read: the host's folders in `shared`, and copies of those in `etc`.

    `mounts` has all that is exported, of the user's cache too. `added`: packages that supply
    commands which are not there. `missing`: packages that would, but cannot be had, and the
    `reason`. `modules`: the kernel whose modules come with the root.
    """

    shared: tuple[Path, ...] = ()
    mounts: tuple[Mount, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()
    etc: tuple[Path, ...] = ()
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    modules: str = ""

    @property
    def exports(self) -> tuple[Path, ...]:
        """The host's folders; QEMU exports each read-only as `root0`, `root1`, ...

        Raises GuestError if there are too many.
        """
        found = tuple(folder for mount in self.mounts for folder in mount.folders)
        if len(found) > MOST:
            raise GuestError(f"{len(found)} folders are too many to share: at most {MOST}")
        return found

    def described(self) -> list[str]:
        """Returns lines for the user: what the guest can read, and what it lacks."""
        if self.shared:
            folders = ", ".join(map(_told, self.shared))
            lines = [f"the guest can read {folders} of this machine"]
        else:
            own = "its commands are busybox's, ethtool and kexec"
            lines = [f"the guest can read nothing of this machine; {own}"]
        if self.etc:
            names = ", ".join(path.name for path in self.etc)
            lines.append(f"it has copies of what all may read of these in {ETC}: {names}")
        if self.added:
            lines.append(f"Debian's packages add what is not there: {', '.join(self.added)}")
        if self.modules:
            lines.append(f"{self.modules} brings its modules")
        if self.missing:
            lines.append(f"the guest lacks {', '.join(self.missing)}: {self.reason}")
        return lines

    def with_modules(self, kernel: Kernel) -> Root:
        """Returns this root with a kernel's modules, if they are in a folder as installed.

        Debian's kernels need it, as their initramfs lacks the driver; others get it with other
        folders only.
        """
        folder = kernel.installed_modules
        if folder is None or self.modules or not (kernel.stock or self.shared):
            return self
        mount = Mount(Path("/lib/modules") / kernel.release, (folder,))
        whose = f"Debian's kernel {kernel.release}" if kernel.stock else str(kernel)
        return dataclasses.replace(self, mounts=(*self.mounts, mount), modules=whose)

    def archive(self) -> bytes:
        """Returns what is added to the guest's initramfs: links, files of /etc, and `mounts`."""
        members = {str(path)[1:]: link(target) for path, target in self.links}
        members |= {name: file(text.encode()) for name, text in ACCOUNTS.items()}
        for copied in self.etc:
            members |= dict(_copied(copied))
        members["guest/mounts"] = file(os.fsencode(self._mounts()))
        return archive(members)

    def _mounts(self) -> str:
        """Returns a line for each mount: TAG... PATH. Only a path has slashes, and any byte."""
        number, lines = 0, []
        for mount in self.mounts:
            tags = [f"root{number + index}" for index in range(len(mount.folders))]
            lines.append(" ".join([*tags, str(mount.path)]))
            number += len(tags)
        return "".join(f"{line}\n" for line in lines)


def find_root(folders: Sequence[Path] | None = None, progress: debs.Progress = debs.silent) -> Root:
    """Returns a root with the host's `folders`, by default /usr and what belongs to it.

    Commands that are not in them come from Debian's packages. Without any folder, nothing is
    shared, copied or downloaded. Raises GuestError for folders that cannot be shared.
    """
    shared = default_folders() if folders is None else check_folders(folders)
    if not shared:
        return Root()
    mounts = {path: [path.resolve()] for path in shared}
    packages = lacking(shared)
    root = Root(tuple(shared), etc=_public(shared))
    try:
        if packages:
            commands = _commands(packages, progress)
            mounts.setdefault(USR, []).append(commands / "usr")
            root = dataclasses.replace(root, added=packages)
    except debs.Unavailable as error:
        root = dataclasses.replace(root, missing=packages, reason=str(error))
    ordered = tuple(Mount(path, tuple(mounts[path])) for path in sorted(mounts))
    return dataclasses.replace(root, mounts=ordered, links=_links() if USR in mounts else ())


def default_folders() -> list[Path]:
    """Returns /usr and the folders beside it that are no links into it."""
    return [USR, *(path for path in BESIDE_USR if path.is_dir() and not path.is_symlink())]


def lacking(shared: Sequence[Path]) -> tuple[str, ...]:
    """Returns the packages of the commands that are not in these folders of the host."""
    return tuple(COMMANDS[name] for name in COMMANDS if not _has(shared, name))


def _links() -> tuple[tuple[Path, str], ...]:
    """Returns the host's links into /usr and their targets."""
    return tuple((path, os.readlink(path)) for path in BESIDE_USR if path.is_symlink())


def _commands(packages: Sequence[str], progress: debs.Progress) -> Path:
    """Returns an unpacked root with packages of the host's own suite, whose libraries fit."""
    suites = (debs.codename(),)
    return debs.binaries(packages, suites=suites, name="guest-commands", progress=progress)


def check_folders(folders: Sequence[Path]) -> list[Path]:
    """Returns the folders, each once and sorted, if a guest can have them. Raises GuestError."""
    checked = sorted({check_folder(folder) for folder in folders})
    if len(checked) > MOST_NAMED:
        raise GuestError(f"{len(checked)} folders are too many to share: at most {MOST_NAMED}")
    return checked


def check_folder(folder: Path) -> Path:
    """Returns `folder`, with one slash at its start, if a guest can have it. Raises GuestError."""
    cannot = f"{folder} cannot be shared:"
    if "\0" in str(folder) or "\n" in str(folder):
        raise GuestError(f"{str(folder)!r} cannot be shared: its name has a NUL or a line break")
    if not folder.is_absolute() or ".." in folder.parts:
        raise GuestError(f"{cannot} name folders below / by their whole path")
    folder = Path("/", *folder.parts[1:])
    if not folder.is_dir():
        raise GuestError(f"{cannot} it is not a folder")
    if Path("/") in (folder, folder.resolve()):
        raise GuestError(f"{cannot} it is all of this machine; name folders below /")
    if any(folder.is_relative_to(own) for own in OWN):
        raise GuestError(f"{cannot} the guest has its own {Path(*folder.parts[:2])}")
    return folder


def _told(folder: Path) -> str:
    """Returns a folder's name for the user, and what it leads to where it is a link."""
    real = folder.resolve()
    return str(folder) if real == folder else f"{folder} (which is {real})"


def _public(shared: Sequence[Path]) -> tuple[Path, ...]:
    """Returns what the guest gets copies of: it belongs to /usr, and /etc itself has it too."""
    if USR not in shared or ETC in shared:
        return ()
    return tuple(path for name in COPIED if (path := ETC / name).exists() or path.is_symlink())


def _has(shared: Sequence[Path], command: str) -> bool:
    """Returns True if a shared folder has the command at a place where shells look for it."""
    places = [Path("/") / folder / command for folder in BINARIES]
    return any(
        os.access(place, os.X_OK) and any(place.resolve().is_relative_to(one) for one in shared)
        for place in places
    )


def _copied(path: Path) -> Iterator[tuple[str, Member]]:
    """Yields the members for a file, or for a folder's files and links, that all may read."""
    if path.is_symlink():
        yield str(path)[1:], link(os.readlink(path))
    elif path.is_dir():
        for below in path.iterdir():
            yield from _copied(below)
    elif path.is_file() and path.stat().st_mode & stat.S_IROTH:
        yield str(path)[1:], file(path.read_bytes())
