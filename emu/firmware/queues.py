"""Commands about queues: ingress queues with free lists, egress queues of three kinds.

A queue that firmware gives out is in `fw.state`, by its id, and in the engine's tables.
"""

from __future__ import annotations

from dataclasses import replace

from vmcoredd.chip.firmware import Dmaq, EqCtrl, EqEth, EqOfld, FwCommand, Iq, Retval
from vmcoredd.chip.messages import DESCRIPTOR_BYTES
from vmcoredd.chip.sge import BASE_UNIT, ENTRY_UNIT, STATUS_DESCRIPTORS, STATUS_ENTRIES
from vmcoredd.emu.engine import NO_QUEUE, EgressKind, EgressRing, IngressRing
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import take

ADDRESS_END = 1 << 64
VECTORS = 1 << 11
"""InterruptIDX of an ingress context has 11 bits."""
ENTRIES_UNIT = 16
"""QueueSize of an ingress context counts units of 16 entries."""


# Ingress queues


@answers(Iq)
def iq(fw: Firmware, pf: int, cmd: Iq) -> FwCommand:
    """Allocates, changes, starts, stops or frees an ingress queue and its free lists."""
    if cmd.alloc:
        return _allocate_iq(fw, pf, cmd)
    queue = _ingress(fw, pf, cmd.iqid)
    if cmd.free:
        return _free_iq(fw, pf, cmd)
    if cmd.modify:
        _set_threshold(fw, cmd.iqid, queue, cmd.iqintcntthresh)
    if cmd.iqstart or cmd.iqstop:
        fw.engine.halt_ingress(cmd.iqid, halted=bool(cmd.iqstop))
    return cmd.reply()


def _allocate_iq(fw: Firmware, pf: int, cmd: Iq) -> FwCommand:
    state, share = fw.state, fw.scenario.queues.functions[pf]
    ring = _ingress_ring(fw, pf, cmd)
    rings = [_free_list_ring(fw, pf, cmd, ring.port, n) for n in _lists(cmd)]
    number = take(state.ingress, share.ingress, share.ingress_count, "ingress queue")
    lists: list[int] = []
    for _ in rings:
        used = {*state.egress, *lists}
        lists.append(take(used, share.egress, share.egress_count, "egress queue"))
    for fl, one in zip(lists, rings, strict=True):
        _start_free_list(fw, fl, replace(one, ingress=number))
    state.ingress[number] = replace(ring, free_list=lists[0] if lists else NO_QUEUE)
    fw.engine.start_ingress(number, state.ingress[number])
    fl0, fl1 = (*lists, NO_QUEUE, NO_QUEUE)[:2]
    return cmd.reply(physiqid=number, iqid=number, fl0id=fl0, fl1id=fl1)


def _lists(cmd: Iq) -> list[int]:
    """The numbers, 0 and 1, of the free lists to allocate."""
    return [n for n in (0, 1) if getattr(cmd, f"fl{n}size")]


def _ingress_ring(fw: Firmware, pf: int, cmd: Iq) -> IngressRing:
    entry = ENTRY_UNIT << cmd.iqesize
    if cmd.iqsize % ENTRIES_UNIT or not cmd.iqsize:
        raise Refused(Retval.EINVAL, f"an ingress queue of {cmd.iqsize} entries")
    _check_address(cmd.iqaddr, cmd.iqsize * entry)
    if cmd.iqandst:
        _ingress(fw, pf, cmd.iqandstindex)
    elif cmd.iqandstindex >= VECTORS:
        raise Refused(Retval.EINVAL, f"MSI-X vector {cmd.iqandstindex}")
    return IngressRing(
        pf=pf,
        port=_port(fw, pf, cmd.viid, cmd.iqpciech),
        interface=cmd.viid,
        address=cmd.iqaddr,
        entries=cmd.iqsize - STATUS_ENTRIES,
        entry_bytes=entry,
        asynchronous=cmd.iqasynch,
        forwarded=cmd.iqandst,
        interrupts=int(cmd.iqanud != 0),
        threshold=cmd.iqintcntthresh,
        vector=cmd.iqandstindex,
        halted=1 - cmd.iqstart,
    )


def _free_list_ring(fw: Firmware, pf: int, cmd: Iq, port: int, n: int) -> EgressRing:
    address, size = getattr(cmd, f"fl{n}addr"), getattr(cmd, f"fl{n}size")
    status = _status_descriptors(fw)
    _check_egress(address, size, status)
    return EgressRing(
        kind=EgressKind.FREE_LIST,
        pf=pf,
        port=port,
        interface=cmd.viid,
        address=address,
        entries=size - status,
        status_bytes=status * DESCRIPTOR_BYTES,
        packing=getattr(cmd, f"fl{n}packen"),
        padding=getattr(cmd, f"fl{n}paden"),
    )


def _start_free_list(fw: Firmware, number: int, ring: EgressRing) -> None:
    """Starts a free list with a context of its own in the free list manager."""
    lists = {q.flm for q in fw.state.egress.values() if q.kind is EgressKind.FREE_LIST}
    _start_egress(fw, number, replace(ring, flm=take(lists, 0, fw.flm_contexts, "free list")))


def _set_threshold(fw: Firmware, number: int, queue: IngressRing, threshold: int) -> None:
    """Sets the packet threshold, which is all of a queue that may change while it runs."""
    fw.state.ingress[number] = replace(queue, threshold=threshold)
    fw.engine.set_threshold(number, threshold)


def _free_iq(fw: Firmware, pf: int, cmd: Iq) -> FwCommand:
    lists = [number for number in (cmd.fl0id, cmd.fl1id) if number != NO_QUEUE]
    for number in lists:
        _egress(fw, pf, number, EgressKind.FREE_LIST)
    fw.free_ingress(cmd.iqid)
    for number in set(lists):
        fw.free_egress(number)
    return cmd.reply()


# Egress queues

KINDS: dict[type[FwCommand], EgressKind] = {
    EqEth: EgressKind.ETHERNET,
    EqCtrl: EgressKind.CONTROL,
    EqOfld: EgressKind.OFFLOAD,
}


@answers(EqEth, EqCtrl, EqOfld)
def eq(fw: Firmware, pf: int, cmd: EqEth | EqCtrl | EqOfld) -> FwCommand:
    """Allocates, changes, starts, stops or frees an egress queue."""
    kind = KINDS[type(cmd)]
    if cmd.alloc:
        share = fw.scenario.queues.functions[pf]
        ring = _egress_ring(fw, pf, cmd)
        number = take(fw.state.egress, share.egress, share.egress_count, "egress queue")
        _start_egress(fw, number, ring)
        return cmd.reply(eqid=number, physeqid=number)
    _egress(fw, pf, cmd.eqid, kind)
    if cmd.free:
        fw.free_egress(cmd.eqid)
        return cmd.reply()
    if cmd.modify:
        raise Refused(Retval.EINVAL, "an egress queue cannot be modified")
    if cmd.eqstart or cmd.eqstop:
        fw.engine.halt_egress(cmd.eqid, halted=bool(cmd.eqstop))
    return cmd.reply()


def _egress_ring(fw: Firmware, pf: int, cmd: EqEth | EqCtrl | EqOfld) -> EgressRing:
    status = _status_descriptors(fw)
    _check_egress(cmd.eqaddr, cmd.eqsize, status)
    ethernet = cmd if isinstance(cmd, EqEth) else None
    viid = ethernet.viid if ethernet else 0
    return EgressRing(
        kind=KINDS[type(cmd)],
        pf=pf,
        port=_port(fw, pf, viid, cmd.pciechn),
        interface=viid,
        address=cmd.eqaddr,
        entries=cmd.eqsize - status,
        status_bytes=status * DESCRIPTOR_BYTES,
        ingress=cmd.iqid,
        host_flow_control=cmd.hostfcmode,
        flush_threshold=cmd.cidxfthresh,
        auto_message=ethernet.autoequiqe if ethernet else 0,
        auto_status=ethernet.autoequeqe if ethernet else 0,
        halted=1 - cmd.eqstart,
    )


def _start_egress(fw: Firmware, number: int, ring: EgressRing) -> None:
    fw.state.egress[number] = ring
    fw.engine.start_egress(number, ring)


# What a queue may be


def _ingress(fw: Firmware, pf: int, number: int) -> IngressRing:
    """Returns a function's ingress queue; Refused (EINVAL) if it has no such queue."""
    queue = fw.state.ingress.get(number)
    if queue is None or queue.pf != pf:
        raise Refused(Retval.EINVAL, f"ingress queue {number} is not allocated")
    return queue


def _egress(fw: Firmware, pf: int, number: int, kind: EgressKind) -> EgressRing:
    """Returns a function's egress queue of this kind; Refused (EINVAL) if it has no such queue."""
    queue = fw.state.egress.get(number)
    if queue is None or queue.pf != pf or queue.kind is not kind:
        raise Refused(Retval.EINVAL, f"egress queue {number} is not allocated")
    return queue


def _port(fw: Firmware, pf: int, viid: int, channel: int) -> int:
    """Returns the port of an interface; without one, that of the PCIe channel."""
    found = fw.state.interfaces.get(viid)
    port = found.port if found and found.pf == pf else channel
    if port >= fw.profile.ports.count:
        raise Refused(Retval.EINVAL, f"channel {channel}")
    return port


def _status_descriptors(fw: Firmware) -> int:
    control = fw.r.SGE_CONTROL
    return STATUS_DESCRIPTORS[control.get(fw.spaces.get(control), "EgrStatusPageSize")]


def _check_egress(address: int, size: int, status: int) -> None:
    if size <= status:
        raise Refused(Retval.EINVAL, f"an egress queue of {size} descriptors")
    _check_address(address, size * DESCRIPTOR_BYTES)


def _check_address(address: int, size: int) -> None:
    if address % BASE_UNIT or address + size > ADDRESS_END:
        raise Refused(Retval.EINVAL, f"a ring at {address:#x}")


# Parameters of queues


def set_parameter(fw: Firmware, pf: int, which: Dmaq, number: int, value: int) -> None:
    """Sets a parameter of a queue; Refused (EINVAL) if there is no such queue or value."""
    if which is Dmaq.IQ_INTCNTTHRESH:
        queue = _ingress(fw, pf, number)
        if value > 3:
            raise Refused(Retval.EINVAL, f"packet threshold {value}")
        _set_threshold(fw, number, queue, value)
