"""A probed adapter: collects its dump and describes the card."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TypeVar

from vmcoredd import cudbg
from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import FwCommand
from vmcoredd.chip.flash import FIRMWARE_VERSION
from vmcoredd.chip.memory import MEMINFO_NAMES
from vmcoredd.chip.pci import Cap
from vmcoredd.cudbg.collection import Progress, Report
from vmcoredd.cudbg.entities.pci import VpdLayout
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.meminfo import read_meminfo
from vmcoredd.cudbg.memory_map import Meminfo
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.driver.probe import Probed, probe
from vmcoredd.driver.real.attach import attach, detach
from vmcoredd.driver.reconnect import Reconnection, identity_of
from vmcoredd.driver.transports import Transport
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.flash import Flash
from vmcoredd.hw.io import Io
from vmcoredd.hw.pci import CardVpd, card_vpd, find_capability, text

log = logging.getLogger(__name__)
DRIVER_NAME = "cxgb4"

Callback = Callable[[memoryview], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """A description of the card; fields that the card does not report are empty."""

    product: str
    chip: str
    revision: int
    model: str
    serial: str
    part: str
    mac: str
    firmware: str
    """The version in the flash, as `1.27.5.0`."""
    memories: tuple[tuple[str, int], ...]
    """Name and size in bytes, in order of address."""


class Adapter:
    """An adapter behind a transport; creating the object probes it.

    Before the dump, the adapter sees only the accesses that the kernel's driver makes, and reads of
    configuration space that name the adapter if the transport can reconnect; a real adapter sees
    fewer (`Transport.is_real`). Call `summary` after `collect`. `io` replaces the transport's own
    (for tracing); `sleep` takes seconds; with `attach_as`, a name for messages, it attaches to the
    firmware (`driver.real.attach`). Raises `ProbeError` if the adapter does not come up, `Refused`
    if it cannot attach, `DeadDevice` if the transport fails.
    """

    def __init__(
        self,
        transport: Transport,
        io: Io | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        attach_as: str = "",
    ) -> None:
        self._transport = transport
        self.io = io or transport.io()
        self.probed: Probed = probe(self.io, sleep, configure=not transport.is_real)
        self._sleep = sleep
        self._identity = identity_of(self.io, transport) if transport.reconnect else None
        entities()  # imports their modules before the first dump begins
        pf, observer = self.probed.device.pf, transport.is_real
        self.mailbox = Mailbox(self.io, self.chip, pf, sleep, observer=observer)
        self.device = self.probed.device
        """What the driver knows of the adapter; collectors get it."""
        if attach_as:
            self.device = attach(attach_as, self.io, self.device, self.mailbox)
        self.report: Report | None = None
        """The report of the last dump; None before the first."""
        self._dumped: tuple[CardVpd, str] | None = None

    @property
    def chip(self) -> Chip:
        """The chip generation."""
        return self.probed.device.chip

    def __enter__(self) -> Adapter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection to the card, and that to its firmware."""
        try:
            if self.device.attached:
                detach(self.mailbox)
        finally:
            self._transport.close()

    def collect(
        self,
        buffer: memoryview,
        *,
        compress: str = "zlib",
        entities: Iterable[str] | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Dumps the adapter into `buffer` and returns the report; see `cudbg.collect`.

        A lost connection is made again up to RECONNECTS_MOST times if the transport can, and the
        same adapter answers.
        """
        device = self.device
        asks = device.attached or not self._transport.is_real
        self.report = cudbg.collect(
            self.io,
            replace(device, mailbox_log=(*device.mailbox_log, *self.mailbox.log)),
            buffer,
            compress=compress,
            entities=entities,
            limit=limit,
            firmware=self._call if asks else None,
            progress=progress,
            regain=self._reconnection(),
        )
        self._dumped = _names_in(buffer)
        return self.report

    def _reconnection(self) -> Reconnection | None:
        if self._identity is None:
            return None
        return Reconnection(self._transport, self.io, self.probed, self._identity, self._sleep)

    def device_dump(
        self,
        *,
        compress: str = "zlib",
        entities: Iterable[str] | None = None,
        progress: Progress | None = None,
    ) -> tuple[int, Callback]:
        """Returns a size in bytes and a callback for `vmcore.DeviceDumps.add_device_dump`
        (cxgb4_cudbg_vmcore_add_dump()).

        The callback fills its buffer and sets `report`. It raises OSError ENOMEM if the buffer is
        too small even for the dump's headers.
        """

        def fill(buffer: memoryview) -> None:
            try:
                self.collect(
                    buffer,
                    compress=compress,
                    entities=entities,
                    limit=cudbg.DUMP_SIZE,
                    progress=progress,
                )
            except cudbg.TooSmall as error:
                raise OSError(errno.ENOMEM, str(error)) from error

        return cudbg.DUMP_SIZE, fill

    def summary(self) -> Summary:
        """Describes the card as the last dump does, and reads what it does not have.

        Call it after the dump, which would show these accesses.
        """
        vpd, version = self._dumped or self._names()
        return Summary(
            product=self.probed.product,
            chip=self.chip.name.upper(),
            revision=self.probed.device.revision,
            model=text(vpd.id) if vpd else "",
            serial=text(vpd.serial) if vpd else "",
            part=text(vpd.part) if vpd else "",
            mac=text(vpd.mac) if vpd else "",
            firmware=version or "",
            memories=_or_none(self._memories) or (),
        )

    def _call(self, command: FwCommand) -> FwCommand:
        return self.mailbox.call(command)

    def _names(self) -> tuple[CardVpd | None, str | None]:
        """Reads the VPD, which takes as long as a tenth of a dump, and the firmware's version."""
        vpd = _or_none(lambda: card_vpd(self.io.config, find_capability(self.io.config, Cap.VPD)))
        return vpd, _or_none(self._firmware_version)

    def _firmware_version(self) -> str:
        flash = Flash(self.io, self.chip)
        size = self.probed.device.flash_bytes
        word = flash.read_word(FIRMWARE_VERSION, size)
        return ".".join(str(part) for part in word.to_bytes(4, "big"))

    def _memories(self) -> tuple[tuple[str, int], ...]:
        info = Meminfo()
        read_meminfo(self.io, self.chip, info)
        found = info.avail[: info.avail_c]
        return tuple((MEMINFO_NAMES[m.idx], m.limit - m.base) for m in found if m.limit > m.base)


def dump_name(pci_name: str) -> str:
    """Returns the name that the kernel's driver gives a dump, such as `cxgb4_0000:01:00.4`."""
    return f"{DRIVER_NAME}_{pci_name}"


def _names_in(dump: memoryview) -> tuple[CardVpd, str] | None:
    """Returns the VPD and the firmware's version in a dump's VPD_DATA; None if it has none."""
    try:
        found = VpdLayout.from_bytes(cudbg.Dump(dump).raw("VPD_DATA"))
    except cudbg.CudbgError:
        return None
    vpd = CardVpd(*(bytes(name) for name in (found.mn, found.sn, found.bn, found.na)))
    version = (found.fw_major, found.fw_minor, found.fw_micro, found.fw_build)
    return vpd, ".".join(map(str, version))


def _or_none(read: Callable[[], T]) -> T | None:
    """Returns what `read` does; None if it fails, for whatever reason: the dump is made already,
    and a summary must not cost it."""
    try:
        return read()
    except (DeviceError, Status):
        return None
    except Exception:
        log.debug("a part of the summary", exc_info=True)
        return None
