"""The user-space driver: transports, bring-up, mailbox, and the dump callback.

    with driver.open("/run/t6.sock") as adapter:
        size, fill = adapter.device_dump()
        dumps.add_device_dump(driver.dump_name("0000:01:00.4"), size, fill)
        print(adapter.report, adapter.summary())

`open` connects to a vfio-user server; `open_card` uses a card in this process; `open_pci` a real
adapter of this machine.
"""

from __future__ import annotations

if __name__ != "vmcoredd.driver":
    raise ImportError("import vmcoredd.driver, not driver")

import os
from collections.abc import Callable
from pathlib import Path

from vmcoredd.driver.adapter import Adapter, Summary, dump_name
from vmcoredd.driver.errors import DriverError, MailboxError, ProbeError
from vmcoredd.driver.real.errors import NoSuchFunction, RealAdapterError, Refused
from vmcoredd.driver.real.functions import SYSFS
from vmcoredd.driver.real.sysfs import Sysfs
from vmcoredd.driver.real.vfio import Vfio
from vmcoredd.driver.transports import Inproc, LocalCard, Socket, Transport

__all__ = [
    "Adapter",
    "DriverError",
    "LocalCard",
    "MailboxError",
    "NoSuchFunction",
    "ProbeError",
    "RealAdapterError",
    "Refused",
    "Summary",
    "dump_name",
    "open",
    "open_card",
    "open_pci",
]


def open(
    path: str | os.PathLike[str],
    *,
    deadline: float = 5.0,
    spin: float | None = None,
    trace: Callable[[str], None] | None = None,
) -> Adapter:
    """Connects to the vfio-user server at `path` and probes the adapter that it serves.

    `deadline` and `spin` are in seconds, as for `pyvfio_user.Client` (`spin=None`: its default).
    `trace` receives one line per access, and then nothing is pipelined. Raises `ProbeError` if the
    adapter does not come up, `DeadDevice` if the connection fails during the probe, and
    `pyvfio_user.VfioUserError` if the connection cannot be made.
    """
    transport = Socket(path, deadline) if spin is None else Socket(path, deadline, spin)
    try:
        return _adapter(transport, trace)
    except BaseException:
        transport.close()
        raise


def open_card(card: LocalCard, *, trace: Callable[[str], None] | None = None) -> Adapter:
    """Probes a card in this process, such as `emu.Card`; raises `ProbeError` as `open` does."""
    return _adapter(Inproc(card), trace)


def open_pci(
    address: str,
    *,
    via: str = "sysfs",
    in_use: bool = False,
    attach: bool = False,
    trace: Callable[[str], None] | None = None,
    root: Path = SYSFS,
) -> Adapter:
    """Probes the real adapter at a PCI address such as `0000:01:00.4`, without its driver.

    `via` is `sysfs` or `vfio` (the function is bound to vfio-pci). `in_use` is for sysfs: a driver
    may own the adapter, and what both do at once can spoil the dump and the driver's work. With
    `attach`, the dump asks firmware that runs for what a running driver's dump has. Close
    the adapter: this puts back what was changed. Raises NoSuchFunction, Refused, ValueError for
    another `via` or no address, and as `open` does.
    """
    if via not in ("sysfs", "vfio") or (in_use and (attach or via == "vfio")):
        raise ValueError(f"via is sysfs or vfio, not {via!r}; in_use is for sysfs without attach")
    transport = (
        Sysfs(address, in_use=in_use, root=root) if via == "sysfs" else Vfio(address, root=root)
    )
    try:
        return _adapter(transport, trace, attach_as=transport.function.address if attach else "")
    except BaseException:
        transport.close()
        raise


def _adapter(
    transport: Transport, trace: Callable[[str], None] | None, attach_as: str = ""
) -> Adapter:
    if trace is None:
        return Adapter(transport, attach_as=attach_as)
    from vmcoredd.driver.trace import traced

    return Adapter(transport, traced(transport.io(), trace), attach_as=attach_as)
