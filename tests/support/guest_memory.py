"""What a crashed guest's kernel knew of its adapters: cxgb4's own structures in a vmcore's memory.

drgn reads them with the types of the kernel that crashed (DWARF).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drgn
from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.net import for_each_net, netdev_priv

from vmcoredd.qemu.kernel import Kernel

DESCRIPTOR = 64
FREE_LIST_UNIT = 8
"""Buffers that a free list's index counts as one."""


@dataclass(frozen=True)
class Ring:
    """A ring as its driver knows it. Indices and entries are in the units of the adapter's.

    `queue`: the absolute id. `entries`: with the status page or the status entry. `generation`: of
    ingress queues.
    """

    kind: str
    queue: int
    address: int
    entries: int
    pidx: int | None = None
    cidx: int | None = None
    generation: int | None = None


@dataclass(frozen=True)
class Interface:
    """A network interface, its port, and its index in the adapter's table of MAC addresses.

    `rss`: the absolute ids of the ingress queues that its frames are spread to.
    """

    name: str
    port: int
    viid: int
    mac: str
    mac_index: int
    rss: tuple[int, ...]
    mtu: int


@dataclass(frozen=True)
class Memory:
    """What the kernel knew of one adapter."""

    rings: tuple[Ring, ...]
    interfaces: tuple[Interface, ...]

    def of(self, kind: str) -> dict[int, Ring]:
        """Returns the rings of a kind by their ids."""
        return {ring.queue: ring for ring in self.rings if ring.kind == kind}


def opened(core: Path, kernel: Kernel) -> drgn.Program:
    """Returns a program for the vmcore of a guest that ran `kernel` and had loaded cxgb4."""
    program = drgn.Program()
    program.set_core_dump(core)
    program.load_debug_info([kernel.vmlinux, kernel.modules["cxgb4"]])
    return program


def adapters(program: drgn.Program) -> list[Memory]:
    """Returns each adapter of cxgb4 with interfaces, in the order of their PCI addresses."""
    devices: dict[str, list[Any]] = {}
    for device in _net_devices(program):
        parent = device.dev.parent
        if parent and parent.driver and parent.driver.name.string_() == b"cxgb4":
            name = parent.kobj.name.string_().decode()
            devices.setdefault(name, []).append(device)
    return [_memory(devices[name]) for name in sorted(devices)]


def _net_devices(program: drgn.Program) -> Iterator[Any]:
    for net in for_each_net(program):
        head = net.dev_base_head.address_of_()
        yield from list_for_each_entry("struct net_device", head, "dev_list")


def _memory(devices: list[Any]) -> Memory:
    infos = [(device, netdev_priv(device, "struct port_info")) for device in devices]
    adapter = infos[0][1].adapter
    interfaces = sorted((_interface(*info) for info in infos), key=lambda one: one.port)
    return Memory(tuple(_rings(adapter)), tuple(interfaces))


def _interface(device: Any, info: Any) -> Interface:
    first = int(info.first_qset)
    queues = info.adapter.sge.ethrxq
    rss = [int(queues[first + int(info.rss[i])].rspq.abs_id) for i in range(int(info.rss_size))]
    return Interface(
        device.name.string_().decode(),
        int(info.tx_chan),
        int(info.viid),
        ":".join(f"{int(device.dev_addr[i]):02x}" for i in range(6)),
        int(info.xact_addr_filt),
        tuple(rss),
        int(device.mtu),
    )


def _rings(adapter: Any) -> Iterator[Ring]:
    sge = adapter.sge
    status = int(sge.stat_len) // DESCRIPTOR
    yield _ingress("firmware events", sge.fw_evtq)
    for index in range(int(sge.ethqsets)):
        received, sent = sge.ethrxq[index], sge.ethtxq[index].q
        if received.rspq.desc:
            yield _ingress("rx", received.rspq)
            yield _free_list(received.fl, status)
        if sent.desc:
            yield _egress("tx", sent, status)
    for index in range(int(adapter.params.nports)):
        if sge.ctrlq[index].q.desc:
            yield _egress("control", sge.ctrlq[index].q, status)
    if sge.ptptxq.q.desc:
        yield _egress("ptp", sge.ptptxq.q, status)


def _ingress(kind: str, queue: Any) -> Ring:
    return Ring(
        kind,
        int(queue.abs_id),
        int(queue.phys_addr),
        int(queue.size) + 1,
        cidx=int(queue.cidx),
        generation=int(queue.gen),
    )


def _free_list(queue: Any, status: int) -> Ring:
    units = int(queue.size) // FREE_LIST_UNIT + status
    told = (int(queue.pidx) - int(queue.pend_cred)) % int(queue.size)
    return Ring(
        "free list",
        int(queue.cntxt_id),
        int(queue.addr),
        units,
        pidx=told // FREE_LIST_UNIT,
        cidx=int(queue.cidx) // FREE_LIST_UNIT,
    )


def _egress(kind: str, queue: Any, status: int) -> Ring:
    return Ring(
        kind,
        int(queue.cntxt_id),
        int(queue.phys_addr),
        int(queue.size) + status,
        pidx=int(queue.pidx),
        cidx=int(queue.cidx),
    )
