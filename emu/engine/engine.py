"""The Python side of the packet engine."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any

from pyvfio_user import LimitedLog
from vmcoredd.chip import Chip
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.engine import capture as capture_file
from vmcoredd.emu.engine import tables
from vmcoredd.emu.engine.chip_data import describe, describe_filters
from vmcoredd.emu.engine.tables import EgressRing, IngressRing, InterfaceRow, WireKind
from vmcoredd.emu.engine.trouble import Kind, Listener, Trouble
from vmcoredd.emu.errors import ModelError

log = logging.getLogger("emu")


class Engine:
    """The engine of one card, whose `struct core` is `core`; `c` is its `struct engine`."""

    def __init__(self, core: Any, chip: Chip) -> None:
        self.log = LimitedLog(log)
        self.listeners: list[Listener] = []
        self.c: Any = ffi.new("struct engine *")
        self._handle = ffi.new_handle(self)
        self._scratch = ffi.new("uint8_t[]", lib.ENGINE_SCRATCH)
        c = self.c
        c.core, c.handle, c.scratch = core, self._handle, self._scratch
        c.report, c.link_changed = lib.emu_on_trouble, lib.emu_on_link
        c.work_fd = c.timer_fd = c.knock_fd = -1
        for port in c.ports:
            port.wire.fd = port.wire.listener = port.capture.fd = -1
        self._rooms: dict[tuple[str, int], Any] = {}
        self._status = ffi.new("uint8_t *")
        c.pci_status = self._status  # of an engine without a card
        describe(c.chip, chip)
        core.engine = c
        _check(lib.engine_open(c))
        self.close = weakref.finalize(self, lib.engine_close, c)
        function = ffi.addressof(lib, "engine_work")
        self._work = ffi.new("struct work *", (c, c.work_fd, ffi.addressof(c, "pending"), function))
        self.on_link: Callable[[int, bool], None] | None = None
        """Hears that the link of a port has come up or gone down."""
        self.on_module: Callable[[int], None] | None = None
        """Hears that a port has got a cable, or lost it."""

    def run(self, now: int | None = None) -> None:
        """Does a bounded amount of work, at `now` nanoseconds of the monotonic clock."""
        lib.engine_run(self.c, time.monotonic_ns() if now is None else now)

    # The host

    @property
    def work(self) -> int:
        """The address of a `struct work` (pyvfio_user/work.h), for whoever serves the card."""
        return int(ffi.cast("uintptr_t", self._work))

    def attach(self, host: int) -> None:
        """Plugs the card into a host: the address of a `struct host` (pyvfio_user/host.h).

        It must live until `detach()`. The card may use it as far as its configuration space says.
        """
        self.c.host = ffi.cast("struct host *", host)
        lib.engine_resume(self.c)

    def detach(self) -> None:
        """Takes the host away. All queues halt: their contexts stay, their memory is gone."""
        self.c.host = ffi.NULL
        lib.engine_halt(self.c)
        self.forget_interrupts()

    def allow(
        self, *, bus_master: bool, intx: bool, msi: bool, msix: bool, msix_masked: bool
    ) -> None:
        """Says what configuration space allows; interrupts that waited for it are delivered."""
        c = self.c
        c.bus_master, c.intx, c.msi = bus_master, intx, msi
        c.msix, c.msix_masked = msix, msix_masked
        lib.engine_msix_written(c, 0, 0)
        lib.engine_resume(c)

    def interrupt(self, vector: int) -> None:
        """Raises a vector; it stays pending while the host masks it or does not listen."""
        lib.irq_raise(self.c, vector)

    def clear_intx(self) -> None:
        """Takes INTx back."""
        lib.irq_clear_intx(self.c)

    def forget_interrupts(self) -> None:
        """Takes back all that is pending: vectors of MSI-X, MSI, and INTx."""
        self.clear_intx()
        self.c.msi_waits = 0
        lib.irq_forget_late(self.c)
        ffi.buffer(self.c.msix_pending)[:] = bytes(ffi.sizeof(self.c.msix_pending))
        lib.engine_msix_written(self.c, 0, 0)

    # Tables, which firmware fills

    def start_egress(self, number: int, ring: EgressRing) -> None:
        """Makes an egress queue or free list with this id; its indices are 0."""
        tables.fill(self.c.egress[number], ring)

    def stop_egress(self, number: int) -> None:
        """Takes an egress queue or free list away: the engine reads its ring no more."""
        tables.clear(self.c.egress[number])
        lib.engine_resume(self.c)

    def start_ingress(self, number: int, ring: IngressRing) -> None:
        """Makes an ingress queue with this id; its indices are 0."""
        tables.fill(self.c.ingress[number], ring)

    def stop_ingress(self, number: int) -> None:
        """Takes an ingress queue away: the engine writes to its ring no more."""
        tables.clear(self.c.ingress[number])
        lib.engine_resume(self.c)

    def stop(self, pf: int) -> None:
        """Takes all queues and filters of a function away: no access to its memory follows."""
        lib.engine_stop(self.c, pf)
        lib.engine_resume(self.c)

    def halt_egress(self, number: int, *, halted: bool) -> None:
        """Stops an egress queue, which keeps its place, or starts it again."""
        self.c.egress[number].halted = halted
        lib.engine_resume(self.c)

    def halt_ingress(self, number: int, *, halted: bool) -> None:
        """Stops an ingress queue, which keeps its place, or starts it again."""
        self.c.ingress[number].halted = halted
        lib.engine_resume(self.c)

    def set_threshold(self, number: int, threshold: int) -> None:
        """Chooses the packet threshold of an ingress queue."""
        self.c.ingress[number].threshold = threshold
        lib.engine_resume(self.c)

    def set_class(self, number: int, traffic_class: int) -> None:
        """Gives an egress queue a traffic class of its port, or none (NO_CLASS)."""
        self.c.egress[number].traffic_class, self.c.egress[number].due = traffic_class, 0
        lib.engine_resume(self.c)

    def limit(self, port: int, traffic_class: int, kbps: int, *, per_flow: bool = False) -> None:
        """Limits what a traffic class sends, or with NO_CLASS the whole port; 0 is no limit.

        With `per_flow`, each flow of the class has that rate for itself.
        """
        lib.engine_limit(self.c, port, traffic_class, kbps, per_flow)

    def show_interface(self, row: InterfaceRow) -> None:
        """Makes an interface receive and send as `row` says."""
        tables.fill(self._interface(row.viid), row, InterfaceRow)
        lib.engine_resume(self.c)

    def remove_interface(self, viid: int) -> None:
        """Takes an interface away."""
        tables.clear(self._interface(viid))
        lib.engine_resume(self.c)

    def _interface(self, viid: int) -> Any:
        """Returns the entry of an interface: its own, or the first that is free."""
        for wanted in (viid, 0):
            for index, entry in enumerate(self.c.interfaces):
                if entry.viid == wanted:
                    self.c.interface_count = max(self.c.interface_count, index + 1)
                    return entry
        raise ModelError(f"no room for interface {viid:#x}")

    def enable_port(self, port: int, *, enabled: bool) -> None:
        """Says whether an interface on a port is enabled, on which its link depends."""
        self.c.ports[port].enabled = enabled
        lib.engine_update_links(self.c)

    def configure_port(
        self, port: int, *, configured: bool, gigabits: int, sends_pauses: bool, obeys_pauses: bool
    ) -> None:
        """Says whether a port's L1 is configured and works, on which its link depends; and its
        speed and flow control."""
        entry = self.c.ports[port]
        entry.present, entry.configured, entry.gigabits = 1, configured, gigabits
        entry.sends_pauses, entry.obeys_pauses = sends_pauses, obeys_pauses
        lib.engine_update_links(self.c)

    def plug(
        self, port: int, kind: WireKind, *, peer: int = 0, fd: int = -1, path: str = ""
    ) -> None:
        """Gives a port a wire in place of the one that it has, and owns the descriptor.

        `peer` is the other port of a PORT; `path`, where a STREAM meets its peer, or where a DGRAM
        sends frames to.
        """
        was_open = self.is_open(port)
        lib.engine_cut(self.c, port)
        wire = self.c.ports[port].wire
        wire.kind, wire.peer, wire.path = kind, peer, os.fsencode(path)
        wire.inbox, wire.outbox = self._room("in", port), self._room("out", port)
        lib.engine_plug(self.c, port, fd)
        if self.on_module is not None and was_open != self.is_open(port):
            self.on_module(port)

    def capture(self, port: int, path: str | os.PathLike[str], name: str) -> None:
        """Captures a port's frames to a new file, which calls it `name`; OSError."""
        length, fd = capture_file.create(path, name)
        self.c.ports[port].capture.room = self._room("capture", port)
        lib.engine_capture(self.c, port, fd, length)

    def _room(self, what: str, port: int) -> Any:
        """Returns memory that C uses as long as there is an engine."""
        size = lib.CAPTURE_ROOM if what == "capture" else lib.WIRE_ROOM
        if (what, port) not in self._rooms:
            self._rooms[what, port] = ffi.new("uint8_t[]", size)
        return self._rooms[what, port]

    def hold_outside(self, *, held: bool) -> None:
        """Leaves frames from outside on their wires, whose senders wait; or lets them come.

        Meanwhile no frame inside the card is dropped for want of room. Any thread may call it.
        """
        lib.engine_hold_outside(self.c, held)

    def is_open(self, port: int) -> bool:
        """Returns whether a port has no cable."""
        return bool(self.c.ports[port].wire.kind == lib.WIRE_OPEN)

    def tell(self, port: int, event: bytes) -> None:
        """Sends firmware's event about a port, a CPL with its RSS header, to all event queues."""
        ffi.memmove(self.c.ports[port].event, event, len(event))
        lib.engine_tell(self.c, port)

    def show_mac(self, index: int, mac: bytes, viid: int) -> None:
        """Gives frames to this address to an interface; `viid` 0 frees the entry."""
        entry = self.c.macs[index]
        ffi.buffer(entry.mac)[:] = mac
        entry.viid = viid
        if viid:
            self.c.mac_count = max(self.c.mac_count, index + 1)
        lib.engine_index_macs(self.c)

    def set_filter_mode(self, mode: int, *, interfaces: bool = False) -> None:
        """Says what filters can match, as TP_VLAN_PRI_MAP does, and whether vnic_id is the
        interface that gets a frame (TP_INGRESS_CONFIG.VNIC); those that exist do not follow."""
        describe_filters(self.c.tuple, mode)
        self.c.matches_interfaces = interfaces

    def forget_neighbours(self) -> None:
        """Clears the tables of neighbours and source MACs, which drivers write."""
        for table in (self.c.neighbours, self.c.source_macs):
            ffi.buffer(table)[:] = bytes(ffi.sizeof(table))

    # Snapshots

    def save(self) -> Any:
        """Returns a copy of the tables: queues with their indices, interfaces, MACs, counts."""
        return tables.save(self.c)

    def load(self, saved: Any) -> None:
        """Restores what `save()` returned. Without a host, the queues halt: theirs is gone."""
        tables.load(self.c, saved)
        if self.c.host == ffi.NULL:
            lib.engine_halt(self.c)

    # Callbacks

    def trouble(self, trouble: Trouble) -> None:
        """Logs what went wrong, and tells the silicon."""
        self.log.warning("%s", trouble)
        for hear in self.listeners:
            hear(trouble)

    def link_changed(self, port: int, up: bool) -> None:
        """Hears that a link has come up or gone down, and tells the firmware."""
        if self.on_link is not None:
            self.on_link(port, up)


def _check(code: int) -> None:
    if code:
        raise OSError(-code, os.strerror(-code))


def _report(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    log.error("a callback of the packet engine failed: %s", error, exc_info=error)


@ffi.def_extern(onerror=_report)
def emu_on_trouble(handle: Any, kind: int, queue: int, what: int, error: int) -> None:
    """C calls this when something went wrong (enum engine_trouble)."""
    ffi.from_handle(handle).trouble(Trouble(Kind(kind), queue, what, error))


@ffi.def_extern(onerror=_report)
def emu_on_link(handle: Any, port: int, up: int) -> None:
    """C calls this when a link has changed."""
    ffi.from_handle(handle).link_changed(port, bool(up))
