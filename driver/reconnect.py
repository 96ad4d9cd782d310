"""Gets an adapter back whose connection was lost in its dump.

A dump goes on only with the same adapter. Another one is told by its ids and revision, and by the
serial number in PCIe configuration space; all are read without side effects, unlike the vital
product data, whose registers the dump shows. Adapters of one product that have no such number
cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmcoredd.chip.pci import CONFIG_BYTES, ConfigHeader
from vmcoredd.driver.errors import ProbeError
from vmcoredd.driver.probe import (
    Probed,
    enable_device,
    identify,
    set_completion_timeout,
    set_master,
    wait_dev_ready,
)
from vmcoredd.driver.transports import Transport
from vmcoredd.hw.io import Io
from vmcoredd.hw.pci import serial_number

RECONNECTS_MOST = 3
"""How often the connection of one dump is made again."""
_IDS = (
    ConfigHeader.vendor.offset,
    ConfigHeader.revision.offset,
    ConfigHeader.subsystem_vendor.offset,
)


@dataclass(frozen=True)
class Identity:
    """What tells one adapter from another."""

    ids: tuple[int, ...]
    """Three words: vendor and device, revision and class, the subsystem's vendor and device."""
    serial: bytes | None
    """The Device Serial Number, 8 bytes; None if the adapter has none."""

    def __str__(self) -> str:
        serial = self.serial[::-1].hex("-") if self.serial else "none"
        return f"{' '.join(f'{word:08x}' for word in self.ids)}, serial number {serial}"


def identity_of(io: Io, transport: Transport) -> Identity:
    """Reads what names an adapter; serial numbers are in PCIe's extended configuration space."""
    ids = tuple(io.config.read(offset) for offset in _IDS)
    extended = transport.config_bytes >= CONFIG_BYTES
    return Identity(ids, serial_number(io.config) if extended else None)


class Reconnection:
    """Makes the connection of one dump again, that of the transport of `io`."""

    def __init__(
        self,
        transport: Transport,
        io: Io,
        probed: Probed,
        identity: Identity,
        sleep: Callable[[float], None],
    ) -> None:
        self._transport, self._io, self._probed = transport, io, probed
        self._identity, self._sleep = identity, sleep
        self._left = RECONNECTS_MOST

    def __call__(self) -> None:
        """Connects, and prepares the adapter as the probe does, without its flash.

        Raises `ProbeError` if the connection was lost too often or another adapter answers, and the
        errors of the transport and of the probe's steps.
        """
        if not self._left:
            why = f"the connection was made again {RECONNECTS_MOST} times, and lost each time"
            raise ProbeError("reconnect", why)
        connect = self._transport.reconnect
        if connect is None:
            raise ProbeError("reconnect", "this transport cannot connect again")
        self._left -= 1
        connect(self._prepare)

    def _prepare(self) -> None:
        found = identity_of(self._io, self._transport)
        if found != self._identity:
            raise ProbeError("reconnect", f"another adapter answers ({found})")
        enable_device(self._io)
        wait_dev_ready(self._io, self._sleep)
        chip, pf = identify(self._io)
        device = self._probed.device
        revision = chip.r.PL_REV.get(self._io.read(chip.r.PL_REV), "Rev")
        if (chip, pf, revision) != (device.chip, device.pf, device.revision):
            raise ProbeError("reconnect", f"another adapter answers (revision {revision})")
        set_master(self._io)
        set_completion_timeout(self._io)
