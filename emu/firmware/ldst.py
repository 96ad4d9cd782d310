"""LDST: registers that the firmware reads and writes on the driver's behalf."""

from __future__ import annotations

from vmcoredd.chip.context import WORDS, ContextType
from vmcoredd.chip.firmware import Command, LdstAddress, LdstContext, LdstPcie, LdstSpace, Retval
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.silicon.sge_contexts import QUEUES

SPACES = {
    LdstSpace.FIRMWARE: "bar0",
    LdstSpace.TP_PIO: "tp_pio",
    LdstSpace.TP_TM_PIO: "tp_tm_pio",
    LdstSpace.TP_MIB: "tp_mib",
}
CONTEXTS = {
    LdstSpace.SGE_EGRC: ContextType.EGRESS,
    LdstSpace.SGE_INGC: ContextType.INGRESS,
    LdstSpace.SGE_FLMC: ContextType.FLM,
    LdstSpace.SGE_CONMC: ContextType.CNM,
}


@answers(LdstAddress)
def address(fw: Firmware, pf: int, ask: LdstAddress) -> Command:
    """A word of BAR0 by byte offset, or of the transport processor by index."""
    space = fw.words.space(SPACES[LdstSpace(ask.addrspace)])
    index, rest = divmod(ask.addr, space.unit)
    if rest or index >= space.count:
        raise Refused(Retval.EINVAL, f"{space.name} has no {ask.addr:#x}")
    if ask.write:
        space.words[index] = ask.val
    return ask.reply(val=space.words[index])


@answers(LdstContext)
def context(fw: Firmware, pf: int, ask: LdstContext) -> Command:
    """A queue's context; there is no cache here that flushing would empty."""
    if ask.ctxtflush:
        return ask.reply()
    table, kind = fw.words.space("sge_contexts"), CONTEXTS[LdstSpace(ask.addrspace)]
    if ask.write or ask.physid >= QUEUES:
        raise Refused(Retval.EINVAL, f"context {ask.physid}")
    first = (kind * QUEUES + ask.physid) * WORDS
    words = table.words[first : first + WORDS]
    return ask.reply(**{f"ctxt_data{i}": word for i, word in enumerate(words)})


@answers(LdstPcie)
def pcie(fw: Firmware, pf: int, ask: LdstPcie) -> Command:
    """Words of a function's configuration space, from register `r` on."""
    space = fw.words.space("pcie_config")
    first = ask.pcie_fn * (space.count // 8) + (ask.ext_r << 8 | ask.r) // 4
    if ask.write or first + ask.naccess > space.count or ask.naccess > len(ask.data):
        raise Refused(Retval.EINVAL, f"configuration register {ask.r:#x}")
    answer = ask.reply()
    for i in range(ask.naccess):
        answer.data[i] = space.words[first + i]
    return answer
