"""What a test may need of this machine, and what to do where it is missing."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmcoredd import debs
from vmcoredd.debs.errors import has_module, pip_line

if TYPE_CHECKING:
    import pytest

PREPARE = "run pytest with --vmcoredd-prepare, which gets it"
OF_KERNELS = ("kernel", "headers")
"""The needs that depend on the guests' kernel."""


def _card(_kernel: str) -> str:
    """Cards can be made: the package pyvfio_user is installed."""
    if has_module("pyvfio_user"):
        return ""
    return "pyvfio_user is not installed: pip install ./pyvfio_user"


def _server(kernel: str) -> str:
    """Cards can be served on sockets."""
    if lacking := _card(kernel):
        return lacking
    from pyvfio_user import library_version

    if library_version():
        return ""
    from vmcoredd.debs.libvfio_user import REMEDY

    return f"pyvfio_user was built without libvfio-user: {REMEDY}"


def _qemu(_kernel: str) -> str:
    """A QEMU with vfio-user-pci is installed or in the cache, and qemu.qmp."""
    from vmcoredd.qemu.program import look_for_qemu

    if not has_module("qemu.qmp"):
        return f"qemu.qmp is not installed: {pip_line('qemu.qmp')}"
    found, there = look_for_qemu()
    return "" if there else f"no QEMU with vfio-user-pci ({found}): {PREPARE}"


def _kernel(kernel: str) -> str:
    """The guests' kernel is in the cache."""
    from vmcoredd.qemu.kernels import is_cached

    return "" if is_cached(kernel) else f"no kernel {kernel} in the cache: {PREPARE}"


def _headers(kernel: str) -> str:
    """Modules can be built for the guests' kernel."""
    from vmcoredd.qemu.kernel_tools import check_installed
    from vmcoredd.qemu.kernels import is_stock
    from vmcoredd.qemu.user_module import headers_are_cached

    try:
        check_installed()
    except debs.Unavailable as error:
        return str(error)
    if not is_stock(kernel):
        return f"modules need a kernel of Debian's: --vmcoredd-kernel debian:6.1, not {kernel}"
    return "" if headers_are_cached(kernel) else f"no headers of kernel {kernel}: {PREPARE}"


def _root(_kernel: str) -> str:
    """The tests run as root."""
    return "" if os.geteuid() == 0 else "not run by root: sudo -E python -m pytest"


NEEDS: dict[str, Callable[[str], str]] = {
    "card": _card,
    "server": _server,
    "qemu": _qemu,
    "kernel": _kernel,
    "headers": _headers,
    "root": _root,
}
"""By name: each says what is missing and what to do, or nothing."""


@functools.cache
def lacking(need: str, kernel: str) -> str:
    """Returns why a need cannot be met here, with the remedy; an empty text if it is met."""
    return NEEDS[need](kernel)


@functools.cache
def prepare(need: str, kernel: str, progress: debs.Progress) -> str:
    """Downloads and builds what a need lacks, if that can be; returns what is left, or nothing."""
    reason, get = lacking(need, kernel), _GET.get(need)
    if get is None or not reason:
        return reason
    from vmcoredd.qemu.errors import GuestError

    try:
        get(kernel, progress)
    except (GuestError, debs.Unavailable, OSError) as error:  # such as a full disk
        return str(error)
    lacking.cache_clear()
    return lacking(need, kernel)


@functools.cache
def shown(config: pytest.Config) -> debs.Progress:
    """Returns what shows slow steps in spite of pytest's capturing: every tenth of each step."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    told: set[tuple[str, int | None]] = set()

    def show(what: str, fraction: float | None) -> None:
        step = (what, None if fraction is None else int(fraction * 10))
        if reporter and step not in told:
            told.add(step)
            reporter.write_line(what if step[1] is None else f"{what}: {step[1] * 10} %")

    return show


def _get_qemu(_kernel: str, progress: debs.Progress) -> None:
    from vmcoredd.qemu.program import find_qemu

    find_qemu(progress)


def _get_kernel(kernel: str, progress: debs.Progress) -> None:
    from vmcoredd.qemu.initramfs import build_initramfs
    from vmcoredd.qemu.kernels import find_kernel

    find_kernel(kernel, progress)
    build_initramfs(progress)


def _get_headers(kernel: str, progress: debs.Progress) -> None:
    from vmcoredd.qemu.user_module import find_headers

    find_headers(kernel, progress)


_GET: dict[str, Callable[[str, debs.Progress], None]] = {
    "qemu": _get_qemu,
    "kernel": _get_kernel,
    "headers": _get_headers,
}
