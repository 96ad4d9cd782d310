"""LDST: registers that the firmware reads and writes on the driver's behalf."""

from __future__ import annotations

from chip.firmware import Command, LdstAddress, LdstPcie, LdstSpace, Retval
from emu.firmware.answers import Refused, answers
from emu.firmware.firmware import Firmware

SPACES = {
    LdstSpace.FIRMWARE: "bar0",
    LdstSpace.TP_PIO: "tp_pio",
    LdstSpace.TP_TM_PIO: "tp_tm_pio",
    LdstSpace.TP_MIB: "tp_mib",
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
