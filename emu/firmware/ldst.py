"""LDST: registers and contexts that the firmware reads and writes for the driver."""

from __future__ import annotations

from vmcoredd.chip.firmware import FwCommand, LdstAddress, LdstContext, LdstPcie, LdstSpace, Retval
from vmcoredd.chip.pci import PFS
from vmcoredd.chip.sge import CONTEXT_WORDS, ContextType
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware

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
def address(fw: Firmware, pf: int, cmd: LdstAddress) -> FwCommand:
    """Reads or writes a word of BAR0 by byte offset, or of the transport processor by index."""
    space = fw.spaces.space(SPACES[LdstSpace(cmd.addrspace)])
    index, remainder = divmod(cmd.addr, space.stride)
    if remainder or index >= space.count:
        raise Refused(Retval.EINVAL, f"{space.name} has no {cmd.addr:#x}")
    if cmd.write:
        space.words[index] = cmd.val
    return cmd.reply(val=space.words[index])


@answers(LdstContext)
def context(fw: Firmware, pf: int, cmd: LdstContext) -> FwCommand:
    """Returns a queue's context; a flush is accepted, but there is no cache to flush."""
    if cmd.ctxtflush:
        return cmd.reply()
    table, kind = fw.spaces.space("sge_contexts"), CONTEXTS[LdstSpace(cmd.addrspace)]
    queues = table.count // CONTEXT_WORDS // len(ContextType)
    if cmd.write or cmd.physid >= queues:
        raise Refused(Retval.EINVAL, f"context {cmd.physid}")
    first = (kind * queues + cmd.physid) * CONTEXT_WORDS
    words = table.words[first : first + CONTEXT_WORDS]
    return cmd.reply(**{f"ctxt_data{i}": word for i, word in enumerate(words)})


@answers(LdstPcie)
def pcie(fw: Firmware, pf: int, cmd: LdstPcie) -> FwCommand:
    """Returns words of a function's configuration space, starting at register `r`."""
    space = fw.spaces.space("pcie_config")
    first = cmd.pcie_fn * (space.count // PFS) + (cmd.ext_r << 8 | cmd.r) // 4
    if cmd.write or first + cmd.naccess > space.count or cmd.naccess > len(cmd.data):
        raise Refused(Retval.EINVAL, f"configuration register {cmd.r:#x}")
    reply = cmd.reply()
    for i in range(cmd.naccess):
        reply.data[i] = space.words[first + i]
    return reply
