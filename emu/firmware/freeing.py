"""Taking back what firmware handed out: from its own books, from the engine, and from silicon."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.sge import ContextType
from vmcoredd.chip.tp import RSS_QUEUES_PER_ROW
from vmcoredd.emu.engine import EgressKind, EgressRing
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.showing import show_default_queue, show_port
from vmcoredd.emu.firmware.state import Mode


def free_ingress(fw: Firmware, number: int) -> None:
    """Frees an ingress queue and its free lists: from now on, the card does not write to its ring.

    The lists go even if the command does not name them, since nothing could free them later
    (assumed; drivers name them all).
    """
    del fw.state.ingress[number]
    for each in [n for n, queue in fw.state.egress.items() if _feeds(queue, number)]:
        free_egress(fw, each)
    fw.engine.stop_ingress(number)
    fw.contexts.clear(ContextType.INGRESS, number)


def _feeds(queue: EgressRing, ingress: int) -> bool:
    return queue.kind is EgressKind.FREE_LIST and queue.ingress == ingress


def free_egress(fw: Firmware, number: int) -> None:
    """Frees an egress queue or a free list: from now on, the card does not use its ring."""
    queue = fw.state.egress.pop(number)
    fw.engine.stop_egress(number)
    fw.contexts.clear(ContextType.EGRESS, number)
    if queue.kind is EgressKind.FREE_LIST:
        fw.contexts.clear(ContextType.FLM, queue.flm)
        fw.contexts.clear(ContextType.CNM, queue.flm)


def free_interface(fw: Firmware, viid: int) -> None:
    """Frees a virtual interface with its addresses, filters and slice of the RSS table."""
    row = fw.state.interfaces.pop(viid)
    free_macs(fw, viid, persistent=True)
    fw.engine.remove_interface(viid)
    table = fw.spaces.space("tp_rss_lkp_table")
    first, count = row.rss_first // RSS_QUEUES_PER_ROW, row.rss_count // RSS_QUEUES_PER_ROW
    table.fill(first, (0,) * count)
    show_default_queue(fw, row, 0)
    show_port(fw, row.port)


def free_macs(fw: Firmware, viid: int, *, persistent: bool) -> None:
    """Frees the addresses of an interface; without `persistent`, only those that are not."""
    for number, one in list(fw.state.macs.items()):
        if one.viid == viid and (persistent or not one.persistent):
            free_mac(fw, number)


def free_mac(fw: Firmware, number: int) -> None:
    """Frees an entry of the MAC table."""
    del fw.state.macs[number]
    fw.engine.show_mac(number, bytes(6), 0)
    fw.classifier.clear(number)


def release(fw: Firmware, pf: int) -> None:
    """Frees all that a function's driver had: queues, interfaces, local addresses, host memory."""
    state = fw.state
    state.host_pages.pop(pf, None)
    state.local_ipv6 = {user: n for user, n in state.local_ipv6.items() if user.pf != pf}
    fw.engine.stop(pf)
    for number in [n for n, queue in state.egress.items() if queue.pf == pf]:
        free_egress(fw, number)
    for number in [n for n, queue in state.ingress.items() if queue.pf == pf]:
        free_ingress(fw, number)
    for viid in [viid for viid, row in state.interfaces.items() if row.pf == pf]:
        free_interface(fw, viid)


def free_function(fw: Firmware, pf: int) -> None:
    """Frees everything a function had: it was reset, or its driver left.

    What drivers have set for the whole device stays (rates, clocks, links, hashing), until one
    resets it (assumed). Firmware that has stopped goes on naming its master.
    """
    release(fw, pf)
    if fw.state.master == pf and fw.state.mode not in (Mode.DEAD, Mode.ERROR):
        fw.state.master = None
    fw.note(Facility.FLR, "PF%d: resources freed", pf)
    fw.show()
