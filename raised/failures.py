"""Makes entities fail as they did in the dump, with the same codes.

Most do by themselves, since the registers say why: a memory is switched off, a window is not
usable. A command register that shows its busy bit stays busy. What no register shows is here.
"""

from __future__ import annotations

import errno

from vmcoredd.chip.devlog import DEVLOG_PF
from vmcoredd.cudbg.errors import Code
from vmcoredd.emu.firmware.state import Mode
from vmcoredd.emu.silicon.pcie import FOREVER, ConfigBackDoor
from vmcoredd.raised.loss import vpd_was_lost
from vmcoredd.raised.raising import Raising

_HOST_ACCESS = ("CIM_LA", "CIM_QCFG", "UP_CIM_INDIRECT", "PBT_TABLE")
"""What is read through the CIM's host access, in this order."""


def keep_busy(on: Raising) -> None:
    """Makes commands that were unfinished when the dump was made stay so."""
    lookups = on.card.core.lookups
    for space, index, bits in [*lookups.unfinished()]:
        if found := on.r.at(index * space.stride, space.name):
            lookups.hang(found.register, set_=bits)


def fail_again(on: Raising) -> None:
    """Makes the entities fail again that did in the dump and still would not."""
    codes = {
        entity.name: entity.sys_err if entity.code == Code.SYSTEM_ERROR else entity.code
        for entity in on.dump.entities
        if not entity.good and not on.dump.follows_loss(entity.name)
    }
    _fail_cim(on, codes)
    if any(codes.get(f"CIM_IBQ_{queue}") == -errno.EAGAIN for queue in ("TP0", "NCSI")):
        _hang(on, "CIM_IBQ_DBG_CFG", "IbqDbgBusy")
    if codes.get("CIM_OBQ_ULP0") == -errno.EAGAIN:
        _hang(on, "CIM_OBQ_DBG_CFG", "ObqDbgBusy")
    if codes.get("RSS") == -errno.EAGAIN:
        table = on.r.TP_RSS_LKP_TABLE
        on.card.core.lookups.hang(table, clear=table.mask("LkpTblRowVld"), now=False)
    if not vpd_was_lost(on.dump):
        _fail_vpd(on, codes.get("VPD_DATA", 0))
    _fail_log(on, codes.get("DEV_LOG", 0))


def _hang(on: Raising, name: str, *bits: str) -> None:
    on.card.core.lookups.hang(on.r[name], set_=on.r[name].mask(*bits), now=False)


def _fail_cim(on: Raising, codes: dict[str, int]) -> None:
    found = [codes[name] for name in _HOST_ACCESS if name in codes]
    if -errno.ETIMEDOUT in found:
        config = on.r.UP_UP_DBG_LA_CFG
        asked, pointers = on.get(config), config.mask("UpDbgLaRdEn", "UpDbgLaRdPtr", "UpDbgLaWrPtr")
        first = config.field("UpDbgLaWrPtr").put(config.get(asked, "UpDbgLaRdPtr"))
        on.set(config, asked & ~pointers | first)  # what the driver asked for was the first word
        on.card.core.lookups.hang(config, set_=config.mask("UpDbgLaRdEn"), now=False)
    if -errno.EAGAIN in found:
        _hang(on, "CIM_HOST_ACC_CTRL", "HostBusy")
    elif -errno.EBUSY in found:
        register = on.r.CIM_HOST_ACC_CTRL
        on.card.core.lookups.hang(register, set_=register.mask("HostBusy"))


def _fail_vpd(on: Raising, code: int) -> None:
    config = on.card.config_space
    if code == -errno.ETIMEDOUT:
        config.vpd_polls = FOREVER
    elif code == -errno.EINVAL:
        on.card.model(ConfigBackDoor).spoil_vpd()
    elif code == -errno.ENODEV:
        config.lose_vpd()


def _fail_log(on: Raising, code: int) -> None:
    """DEV_LOG asks the firmware if no register says where the log is: it fails as it answers."""
    if on.get(on.r.PCIE_FW_PF, DEVLOG_PF):
        return
    state = on.card.firmware.state
    state.log_is_shown = False
    if not code:
        state.mode = Mode.ALIVE
    elif code == -errno.ENXIO:
        state.mode = Mode.ERROR
