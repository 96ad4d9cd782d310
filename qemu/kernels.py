"""The kernels that guests can run, by the names that `--kernel` takes everywhere.

`6.1`, `6.12` and `newest` are built here, with device dumps. `debian:6.1`, `debian:6.12` and
`debian:newest` are Debian's packages as they are. A name with a slash, or a dot at its start, is
the path of a kernel of the user's own.
"""

from __future__ import annotations

from pathlib import Path

from vmcoredd import debs

from . import kernel, kernel_config, stock_kernel
from .errors import GuestError, UnknownKernel
from .users_kernel import users_kernel

STOCK = "debian:"
NAMES = (*kernel.SUITES, *(f"{STOCK}{name}" for name in stock_kernel.SUITES))
NO_DUMPS = (
    "cannot hold a device dump: Debian builds its kernels without "
    "CONFIG_PROC_VMCORE_DEVICE_DUMP. Use --kernel {name}, which is built here with it"
)


def is_stock(name: str) -> bool:
    """Returns True if `name` is a kernel of Debian's, as it is."""
    return name.startswith(STOCK)


def is_path(name: str) -> bool:
    """Returns True if `name` is the path of a kernel of the user's own."""
    return name.startswith(".") or "/" in name


def check_kernel(name: str) -> str:
    """Returns `name` if it is a kernel's name, or any path. Raises UnknownKernel."""
    if not is_path(name) and name not in NAMES:
        raise UnknownKernel(f"no kernel {name!r}: {_choose()}")
    return name


def check_dumps(name: str) -> str:
    """Returns `name` if that kernel can hold device dumps. Raises GuestError.

    A kernel of the user's own is checked later (`check`).
    """
    if is_stock(check_kernel(name)):
        raise GuestError(f"{name} {NO_DUMPS.format(name=name.removeprefix(STOCK))}")
    return name


def find_kernel(
    name: str = kernel.DEFAULT_KERNEL, progress: debs.Progress = debs.silent
) -> kernel.Kernel:
    """Returns kernel `name` from the cache; it is built or downloaded first if need be.

    Raises GuestError, BuildError, debs.Unavailable.
    """
    check_kernel(name)
    if is_path(name):
        return users_kernel(Path(name).expanduser(), progress)
    if is_stock(name):
        return stock_kernel.stock_kernel(name.removeprefix(STOCK), progress)
    return kernel.build_kernel(name, progress)


def is_cached(name: str) -> bool:
    """Returns True if kernel `name` is in the cache, or at its path.

    `newest` is there if the cache has a kernel of a version that no other name stands for.
    """
    if is_path(name):
        return Path(name).expanduser().exists()
    start = "debian-" if is_stock(name) else "kernel-"
    folders = [path.name for path in debs.cache_dir().glob(f"guest/{start}*")]
    version = name.rpartition(":")[2]
    dated = tuple(f"{start}{one}." for one in kernel.SUITES)
    if version == "newest":
        return any(not folder.startswith(dated) for folder in folders)
    return any(folder.startswith(f"{start}{version}.") for folder in folders)


def check(found: kernel.Kernel, *, driver: bool = False, dump: bool = False) -> None:
    """Checks that a kernel can be a guest's; that it has the driver, and device dumps, if asked.

    Raises GuestError, with what to change. A kernel without a configuration is not checked.
    """
    if found.config:
        kernel_config.check(found.config, str(found), driver=driver, dump=dump)
    if driver:
        found.check_driver()


def check_root(found: kernel.Kernel) -> None:
    """Checks that a guest with a kernel can read folders of the host. Raises GuestError."""
    if found.config:
        kernel_config.check_root(found.config, str(found))


def _choose() -> str:
    return f"choose one of {', '.join(NAMES)}"
