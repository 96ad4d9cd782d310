"""LDST: registers and contexts that the firmware reads and writes for the driver."""

from __future__ import annotations

from vmcoredd.chip.firmware import (
    FwCommand,
    LdstAddress,
    LdstContext,
    LdstI2c,
    LdstMpsReplication,
    LdstPcie,
    LdstSpace,
    Retval,
)
from vmcoredd.chip.pci import PFS
from vmcoredd.chip.sge import ContextType
from vmcoredd.emu.contexts import QUEUES
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.plural import exact

SPACES = {
    LdstSpace.FIRMWARE: "bar0",
    LdstSpace.TP_PIO: "tp_pio",
    LdstSpace.TP_TM_PIO: "tp_tm_pio",
    LdstSpace.TP_MIB: "tp_mib",
}
REPLICATION = 1
"""LdstMpsReplication.fid (FW_LDST_MPS_RPLC)."""
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
    if cmd.write or cmd.physid >= QUEUES:
        raise Refused(Retval.EINVAL, f"context {cmd.physid}")
    words = fw.contexts.words(CONTEXTS[LdstSpace(cmd.addrspace)], cmd.physid)
    return cmd.reply(**{f"ctxt_data{i}": word for i, word in enumerate(words)})


@answers(LdstMpsReplication)
def replication(fw: Firmware, pf: int, cmd: LdstMpsReplication) -> FwCommand:
    """Returns the replication map of an entry of the MAC table."""
    if cmd.write or cmd.fid != REPLICATION or cmd.idx >= fw.chip.mps.tcam_entries:
        raise Refused(Retval.EINVAL, f"replication map {cmd.idx}")
    words = enumerate(fw.classifier.replication(cmd.idx))
    return cmd.reply(**{f"rplc{32 * i + 31}_{32 * i}": word for i, word in words})


@answers(LdstI2c)
def i2c(fw: Firmware, pf: int, cmd: LdstI2c) -> FwCommand:
    """Returns bytes of a port's transceiver module; reading goes around at a device's end."""
    modules = fw.scenario.transceivers
    if cmd.write or cmd.pid >= len(modules) or cmd.blen > len(cmd.data):
        raise Refused(Retval.EINVAL, f"{exact(cmd.blen, 'byte')} of port {cmd.pid}")
    module = None if fw.engine.is_open(cmd.pid) else modules[cmd.pid]
    device = module.devices.get(cmd.did) if module else None
    if device is None:
        raise Refused(Retval.EIO, f"no device {cmd.did:#x} in port {cmd.pid}")
    reply = cmd.reply()
    for i in range(cmd.blen):
        reply.data[i] = device[(cmd.boffset + i) % len(device)]
    return reply


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
