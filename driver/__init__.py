"""The user-space driver: transports, bring-up, mailbox, and the dump callback.

    with driver.open("/run/t6.sock") as adapter:
        size, fill = adapter.device_dump()
        dumps.add_device_dump(driver.dump_name("0000:01:00.4"), size, fill)
        print(adapter.report, adapter.summary())

`open` connects to a vfio-user server; `open_card` uses a card in this process.
"""

from __future__ import annotations

if __name__ != "vmcoredd.driver":
    raise ImportError("import vmcoredd.driver, not driver")

import os
from collections.abc import Callable

from vmcoredd.driver.adapter import Adapter, Summary, dump_name
from vmcoredd.driver.errors import DriverError, MailboxError, ProbeError
from vmcoredd.driver.transports import Inproc, LocalCard, Socket, Transport

__all__ = [
    "Adapter",
    "DriverError",
    "LocalCard",
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


def _adapter(transport: Transport, trace: Callable[[str], None] | None) -> Adapter:
    if trace is None:
        return Adapter(transport)
    from vmcoredd.driver.trace import traced

    return Adapter(transport, traced(transport.io(), trace))
