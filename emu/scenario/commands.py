"""The commands with which cxgb4 sets up the queues of the scene (sge.c, t4_sge_alloc_rxq(),
t4_sge_alloc_eth_txq(), t4_sge_alloc_ctrl_txq()): what their contexts hold follows from these."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import EqCtrl, EqEth, Iq
from vmcoredd.chip.pci import PF
from vmcoredd.chip.sge import STATUS_DESCRIPTORS, STATUS_ENTRIES, UpdateDelivery
from vmcoredd.emu.scenario.queues import INGRESS_ENTRIES, Egress, Ingress

ENTRY_64_BYTES = 2
"""IQESIZE."""
BY_INGRESS_QUEUE, BY_STATUS_PAGE = 1, 2
"""HOSTFCMODE."""
AFTER_8_PACKETS = 2
"""IQINTCNTTHRESH, which is the nearest to the 10 that cxgb4 wants (cxgb4_main.c, init_rspq())."""
BURST_512_BYTES, AFTER_32_DESCRIPTORS = 3, 5
"""FBMAX and CIDXFTHRESH."""
BY_CHANNEL = 2
"""CngTPMode (CONMCTXT_CNGTPMODE_CHANNEL_X)."""
MAP_BITS = 4
"""Channels that the congestion manager knows."""


def iq(chip: Chip, queue: Ingress, free_list: Egress | None, page: int = 0) -> Iq:
    """Returns the command for an ingress queue, and for its free list if it has one. `page` is
    SGE_CONTROL.EgrStatusPageSize."""
    command = Iq(
        alloc=1,
        iqstart=1,
        pfn=PF,
        iqasynch=int(free_list is None),
        iqanud=UpdateDelivery.INTERRUPT,
        iqandstindex=queue.vector,
        iqpciech=queue.port or 0,
        iqgtsmode=1,
        iqesize=ENTRY_64_BYTES,
        iqsize=INGRESS_ENTRIES + STATUS_ENTRIES,
        iqaddr=queue.address,
    )
    if free_list is not None:
        command.iqintcntthresh = AFTER_8_PACKETS
        command.iqflintcongen = command.fl0congen = command.fl0congcif = 1
        command.fl0packen = command.fl0paden = command.fl0fetchro = command.fl0dataro = 1
        command.fl0fbmin = chip.sge.free_list_burst_min
        command.fl0fbmax = chip.sge.free_list_burst_max
        command.fl0size = free_list.entries + STATUS_DESCRIPTORS[page]
        command.fl0addr = free_list.address
    return command


def eq(chip: Chip, queue: Egress, page: int = 0) -> EqEth | EqCtrl:
    """Returns the command for an Ethernet or control queue."""
    command = _control() if queue.control else _ethernet(chip)
    command.pciechn = queue.port
    command.fetchro = 1
    command.fbmin, command.fbmax = chip.sge.burst_min, BURST_512_BYTES
    command.cidxfthresh = AFTER_32_DESCRIPTORS
    command.eqsize = queue.entries + STATUS_DESCRIPTORS[page]
    command.eqaddr = queue.address
    return command


def _control() -> EqCtrl:
    return EqCtrl(alloc=1, eqstart=1, pfn=PF, hostfcmode=BY_STATUS_PAGE)


def _ethernet(chip: Chip) -> EqEth:
    message = chip.sge.told_by_message
    return EqEth(
        alloc=1,
        eqstart=1,
        pfn=PF,
        hostfcmode=BY_INGRESS_QUEUE if message else BY_STATUS_PAGE,
        cidxfthresho=int(message),
        autoequiqe=int(message),
        autoequeqe=int(not message),
    )


def congestion(chip: Chip, port: int, ports: int) -> dict[str, int]:
    """Returns the congestion context of a port's free lists, as DMAQ.CONM_CTXT sets it."""
    channels = chip.tp.channel_map(port, ports)
    bits = (1 << (i << chip.sge.congestion_bits) for i in range(MAP_BITS) if channels >> i & 1)
    return {"CngTPMode": BY_CHANNEL, "CngChMap": sum(bits)}
