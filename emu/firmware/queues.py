"""Commands about queues: ingress queues with free lists, egress queues of three kinds.

A queue that firmware gives out is in `fw.state`, by its id, and in the engine's tables.
"""

from __future__ import annotations

from dataclasses import replace

from vmcoredd.chip.firmware import Dmaq, EqCtrl, EqEth, EqOfld, FwCommand, Iq, Retval
from vmcoredd.chip.firmware.queue import SCHED_CLS_NONE
from vmcoredd.chip.messages import DESCRIPTOR_BYTES
from vmcoredd.chip.sge import (
    BASE_UNIT,
    ENTRIES_UNIT,
    ENTRY_UNIT,
    STATUS_DESCRIPTORS,
    STATUS_ENTRIES,
    ContextType,
    UpdateDelivery,
)
from vmcoredd.emu.contexts import (
    Fields,
    egress_fields,
    encode,
    flm_fields,
    free_list_fields,
    ingress_fields,
)
from vmcoredd.emu.engine import NO_CLASS, NO_QUEUE, EgressKind, EgressRing, IngressRing
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import TRAFFIC_CLASSES, Firmware
from vmcoredd.emu.firmware.freeing import free_egress, free_ingress
from vmcoredd.emu.firmware.state import take, take_several

ADDRESS_END = 1 << 64
THRESHOLDS = 4
"""Packet thresholds that a queue can choose from (SGE_INGRESS_RX_THRESHOLD)."""


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
    rings = {which: _free_list_ring(fw, pf, cmd, ring.port, which) for which in _lists(cmd)}
    number = take(state.ingress, share.ingress, share.ingress_count, "ingress queue")
    ids = take_several(state.egress, share.egress, share.egress_count, "egress queue", len(rings))
    contexts = take_several(_flm_in_use(fw), 0, fw.flm_contexts, "free list", len(rings))
    lists = dict(zip(rings, zip(ids, contexts, strict=True), strict=True))
    _start_ingress(fw, number, replace(ring, free_list=ids[0] if ids else NO_QUEUE), cmd)
    for which, (egress, flm) in lists.items():
        _start_free_list(fw, egress, replace(rings[which], ingress=number, flm=flm), cmd, which)
    fl0, fl1 = (lists.get(which, (NO_QUEUE, 0))[0] for which in (0, 1))
    return cmd.reply(physiqid=number, iqid=number, fl0id=fl0, fl1id=fl1)


def _flm_in_use(fw: Firmware) -> set[int]:
    lists = fw.state.egress.values()
    return {queue.flm for queue in lists if queue.kind is EgressKind.FREE_LIST}


def _start_ingress(fw: Firmware, number: int, ring: IngressRing, cmd: Iq) -> None:
    fw.state.ingress[number] = ring
    fw.contexts.store(ContextType.INGRESS, number, ingress_fields(cmd))
    fw.engine.start_ingress(number, ring)


def _start_free_list(fw: Firmware, number: int, ring: EgressRing, cmd: Iq, which: int) -> None:
    fw.state.egress[number] = ring
    fw.contexts.store(ContextType.EGRESS, number, free_list_fields(cmd, which, ring.flm))
    fw.contexts.store(ContextType.FLM, ring.flm, flm_fields(cmd, which, number))
    fw.contexts.clear(ContextType.CNM, ring.flm)
    fw.engine.start_egress(number, ring)


def _lists(cmd: Iq) -> list[int]:
    """Returns which of the free lists 0 and 1 to allocate."""
    return [which for which in (0, 1) if getattr(cmd, f"fl{which}size")]


def _ingress_ring(fw: Firmware, pf: int, cmd: Iq) -> IngressRing:
    entry = ENTRY_UNIT << cmd.iqesize
    if cmd.iqsize % ENTRIES_UNIT or not cmd.iqsize:
        raise Refused(Retval.EINVAL, f"an ingress queue of size {cmd.iqsize}")
    _check_address(cmd.iqaddr, cmd.iqsize * entry)
    if cmd.iqandst:
        _ingress(fw, pf, cmd.iqandstindex)
    _check_fields(fw, ContextType.INGRESS, ingress_fields(cmd))
    return IngressRing(
        pf=pf,
        port=_port(fw, pf, cmd.viid, cmd.iqpciech),
        interface=cmd.viid,
        address=cmd.iqaddr,
        entries=cmd.iqsize - STATUS_ENTRIES,
        entry_bytes=entry,
        asynchronous=cmd.iqasynch,
        forwarded=cmd.iqandst,
        interrupts=int(bool(cmd.iqanud & UpdateDelivery.INTERRUPT)),
        tells_status=int(bool(cmd.iqanud & UpdateDelivery.STATUS_PAGE)),
        threshold=cmd.iqintcntthresh,
        vector=cmd.iqandstindex,
        halted=1 - cmd.iqstart,
    )


def _free_list_ring(fw: Firmware, pf: int, cmd: Iq, port: int, which: int) -> EgressRing:
    address, size = getattr(cmd, f"fl{which}addr"), getattr(cmd, f"fl{which}size")
    status = _status_descriptors(fw)
    _check_egress(address, size, status)
    _check_fields(fw, ContextType.EGRESS, free_list_fields(cmd, which, 0))
    return EgressRing(
        kind=EgressKind.FREE_LIST,
        pf=pf,
        port=port,
        interface=cmd.viid,
        address=address,
        entries=size - status,
        status_bytes=status * DESCRIPTOR_BYTES,
        packing=getattr(cmd, f"fl{which}packen"),
        padding=getattr(cmd, f"fl{which}paden"),
    )


def _set_threshold(fw: Firmware, number: int, queue: IngressRing, threshold: int) -> None:
    """Sets the packet threshold, which is all of a queue that may change while it runs."""
    fw.state.ingress[number] = replace(queue, threshold=threshold)
    fw.contexts.change(ContextType.INGRESS, number, RxIntCounterThreshold=threshold)
    fw.engine.set_threshold(number, threshold)


def _free_iq(fw: Firmware, pf: int, cmd: Iq) -> FwCommand:
    for number in (cmd.fl0id, cmd.fl1id):
        named = number != NO_QUEUE
        if named and _egress(fw, pf, number, EgressKind.FREE_LIST).ingress != cmd.iqid:
            raise Refused(Retval.EINVAL, f"free list {number} is of another queue")
    free_ingress(fw, cmd.iqid)
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
        fw.state.egress[number] = ring
        fw.contexts.store(ContextType.EGRESS, number, egress_fields(cmd))
        fw.engine.start_egress(number, ring)
        return cmd.reply(eqid=number, physeqid=number)
    _egress(fw, pf, cmd.eqid, kind)
    if cmd.free:
        free_egress(fw, cmd.eqid)
        return cmd.reply()
    if cmd.modify:
        raise Refused(Retval.EINVAL, "an egress queue cannot be modified")
    if cmd.eqstart or cmd.eqstop:
        fw.engine.halt_egress(cmd.eqid, halted=bool(cmd.eqstop))
    return cmd.reply()


def _egress_ring(fw: Firmware, pf: int, cmd: EqEth | EqCtrl | EqOfld) -> EgressRing:
    status = _status_descriptors(fw)
    _check_egress(cmd.eqaddr, cmd.eqsize, status)
    _check_fields(fw, ContextType.EGRESS, egress_fields(cmd))
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


def _check_fields(fw: Firmware, kind: ContextType, fields: Fields) -> None:
    try:
        encode(fw.chip, kind, fields)
    except ValueError as error:
        raise Refused(Retval.EINVAL, str(error)) from None


# Parameters of queues


def set_parameter(fw: Firmware, pf: int, which: Dmaq, number: int, value: int) -> None:
    """Sets a parameter of a queue; Refused (EINVAL) if there is no such queue or value."""
    if which.name.startswith("EQ_"):
        queue = fw.state.egress.get(number)
        _egress(fw, pf, number, queue.kind if queue else EgressKind.NONE)
        if which is Dmaq.EQ_SCHEDCLASS_ETH:
            _set_class(fw, number, value)
        elif which is Dmaq.EQ_TIMERIX:
            _check_fields(fw, ContextType.EGRESS, {"TimerIx": value})
            fw.contexts.change(ContextType.EGRESS, number, TimerIx=value)
    elif which is Dmaq.IQ_INTCNTTHRESH:
        if value >= THRESHOLDS:
            raise Refused(Retval.EINVAL, f"packet threshold {value}")
        _set_threshold(fw, number, _ingress(fw, pf, number), value)
    elif which is Dmaq.CONM_CTXT:
        _set_congestion(fw, _ingress(fw, pf, number), value)
    else:
        _ingress(fw, pf, number)


def _set_class(fw: Firmware, number: int, value: int) -> None:
    """Puts an egress queue into a traffic class of its port, or takes it out."""
    if value >= TRAFFIC_CLASSES and value != SCHED_CLS_NONE:
        raise Refused(Retval.EINVAL, f"traffic class {value}")
    chosen = NO_CLASS if value == SCHED_CLS_NONE else value
    fw.state.egress[number] = replace(fw.state.egress[number], traffic_class=chosen)
    fw.engine.set_class(number, chosen)


def _set_congestion(fw: Firmware, queue: IngressRing, value: int) -> None:
    """Stores the congestion context of a queue's free lists, which the value is."""
    layout = fw.chip.sge.context_fields(ContextType.CNM)
    if value & ~sum(field.mask for field in layout):
        raise Refused(Retval.EINVAL, f"congestion context {value:#x}")
    if queue.free_list != NO_QUEUE:
        flm = fw.state.egress[queue.free_list].flm
        fields = {field.name: field.get(value) for field in layout}
        fw.contexts.store(ContextType.CNM, flm, fields)
