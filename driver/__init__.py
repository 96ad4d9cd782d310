"""The user-space driver: transports, bring-up, mailbox, and the dump callback.

    with driver.open("/run/t6.sock") as adapter:
        size, fill = adapter.device_dump()
        dumps.add_device_dump(driver.dump_name("0000:01:00.4"), size, fill)
        print(adapter.report, adapter.summary())

The rest of the package never learns which transport it has.
"""

from __future__ import annotations

if __name__ != "vmcoredd.driver":
    raise ImportError("import vmcoredd.driver, not driver")

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from vmcoredd.driver.adapter import Adapter, Summary, Transport, dump_name
from vmcoredd.driver.errors import DriverError, MailboxError, ProbeError

if TYPE_CHECKING:
    from vmcoredd.emu import Card

__all__ = [
    "Adapter",
    "DriverError",
    "MailboxError",
    "ProbeError",
    "Summary",
    "dump_name",
    "open",
    "open_card",
]


def open(
    path: str | os.PathLike[str],
    *,
    deadline: float = 5.0,
    spin: float | None = None,
    trace: Callable[[str], None] | None = None,
) -> Adapter:
    """The adapter that a vfio-user server offers at `path`. `deadline` and `spin` (None: the
    default) are those of `pyvfio_user.Client`.

    ProbeError, DeadDevice, and `pyvfio_user`'s errors if there is no such server.
    """
    from pyvfio_user import SPIN
    from vmcoredd.driver.socket import Socket

    transport = Socket(path, deadline, SPIN if spin is None else spin)
    try:
        return _adapter(transport, trace)
    except BaseException:
        transport.close()
        raise


def open_card(card: Card, *, trace: Callable[[str], None] | None = None) -> Adapter:
    """An emulated card in this process; ProbeError."""
    from vmcoredd.driver.inproc import Inproc

    return _adapter(Inproc(card.bar0.access, card), trace)


def _adapter(transport: Transport, trace: Callable[[str], None] | None) -> Adapter:
    if trace is None:
        return Adapter(transport)
    from vmcoredd.driver.trace import traced

    return Adapter(transport, traced(transport.io(), trace))
