"""Debian packages, unpacked in the user's cache folder instead of installed.

Binary packages and their dependencies are unpacked into a private root folder, source packages
into a separate folder. Root is not needed. The mirror and its keys come from the machine's apt
sources.

    root = debs.binaries(["qemu-system-x86"], suites=("trixie", "trixie-backports"), name="qemu")
    subprocess.run([*debs.command(root, "usr/bin/qemu-system-x86_64"), "--version"])

    tree = debs.source("qemu", suites=("trixie",), only=["subprojects/libvfio-user"])

A folder that exists is complete: it is filled under another name, then renamed. Two processes can
request the same folder at the same time. An interrupted download is resumed.
"""

if __name__ != "vmcoredd.debs":
    raise ImportError("import vmcoredd.debs, not debs")

from .cache import Progress, build_once, cache_dir, silent
from .children import bound, running
from .errors import ModuleMissing, Unavailable
from .mirrors import codename
from .packages import binaries, manifest, source, unpack
from .programs import command, inside, settle

__all__ = [
    "ModuleMissing",
    "Progress",
    "Unavailable",
    "binaries",
    "bound",
    "build_once",
    "cache_dir",
    "codename",
    "command",
    "inside",
    "manifest",
    "running",
    "settle",
    "silent",
    "source",
    "unpack",
]
