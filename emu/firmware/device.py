"""Commands about the device: master, initialisation, capabilities, resources, clocks."""

from __future__ import annotations

from vmcoredd.chip.devlog import ADDRESS_UNIT, Facility
from vmcoredd.chip.firmware import (
    Bye,
    CapsConfig,
    Clip,
    Devlog,
    FwCommand,
    Hello,
    Hma,
    Initialize,
    MemType,
    Pfvf,
    PtpInit,
    PtpTime,
    Reset,
    Retval,
)
from vmcoredd.chip.firmware.device import NicCaps, PtpSub
from vmcoredd.chip.flash import START
from vmcoredd.chip.memory import MEGABYTE
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.filter_mode import read_file
from vmcoredd.emu.firmware.firmware import TRAFFIC_CLASSES, Firmware
from vmcoredd.emu.firmware.freeing import free_function, release
from vmcoredd.emu.firmware.interfaces import slices
from vmcoredd.emu.firmware.restart import restart
from vmcoredd.emu.firmware.state import LocalIpv6
from vmcoredd.emu.flash import version

CONFIG_UNIT = 64 * 1024
"""Bytes per unit of a configuration file's address."""
HMA_UNIT = 4096
"""Bytes per unit of Hma.addr_size."""
ALL = 0xFF
"""All access rights."""


@answers(Hello)
def hello(fw: Firmware, pf: int, cmd: Hello) -> FwCommand:
    """Makes the function master if there is none yet, or if the command forces it."""
    state = fw.state
    release(fw, pf)  # a driver that died said no goodbye
    if cmd.masterforce or (state.master is None and not cmd.masterdis):
        state.master = pf
    fw.note(Facility.CORE, "PF%d: hello, master is PF%d", pf, state.master or 0)
    return cmd.reply(
        err=0,
        init=int(state.initialised),
        masterdis=0,
        masterforce=0,
        mbmaster=state.master or 0,
        mbasyncnot=cmd.mbasyncnot,
        fwrev=version(fw.profile.firmware.version),
    )


@answers(Bye)
def bye(fw: Firmware, pf: int, cmd: Bye) -> FwCommand:
    """Frees everything that the driver allocated."""
    fw.note(Facility.CORE, "PF%d: bye", pf)
    free_function(fw, pf)
    return cmd.reply()


@answers(Reset)
def reset(fw: Firmware, pf: int, cmd: Reset) -> FwCommand:
    """Makes the card as after power-on, for its driver to initialise. The master stays."""
    _only_master(fw, pf)
    restart(fw)
    fw.note(Facility.CORE, "PF%d: reset 0x%x", pf, cmd.val)
    return cmd.reply()


@answers(Initialize)
def initialize(fw: Firmware, pf: int, cmd: Initialize) -> FwCommand:
    """Initialises the device; refused until capabilities are agreed on."""
    _only_master(fw, pf)
    if not fw.state.caps_agreed:
        raise Refused(Retval.EINVAL, "no capabilities agreed on")
    fw.state.initialised = True
    fw.note(Facility.CORE, "PF%d: device initialised", pf)
    return cmd.reply()


def _only_master(fw: Firmware, pf: int) -> None:
    if fw.state.master != pf:
        raise Refused(Retval.EPERM, f"PF{pf} is not master")


@answers(CapsConfig)
def caps_config(fw: Firmware, pf: int, cmd: CapsConfig) -> FwCommand:
    """Reads a configuration file and the device's capabilities, or agrees on them."""
    if cmd.write:
        _only_master(fw, pf)
        fw.state.caps_agreed = True
        return cmd.reply()
    if cmd.cfvalid:
        _only_master(fw, pf)
        _read_config(fw, cmd.memtype_cf, cmd.memaddr64k_cf * CONFIG_UNIT)
    config = fw.profile.vpd.config_version
    caps = NicCaps.NIC | NicCaps.VM | NicCaps.ETHOFLD
    return cmd.reply(niccaps=caps, cfcsum=config, finiver=config, finicsum=config)


def _read_config(fw: Firmware, kind: int, address: int) -> None:
    """Takes what a configuration file in adapter memory says; that in flash is firmware's own.

    Refused (ENOENT) if there is none.
    """
    if kind != MemType.FLASH:
        read_file(fw, kind, address)
    elif address != START["CFG"]:
        raise Refused(Retval.ENOENT, f"no configuration file at {address:#x}")


@answers(Pfvf)
def pfvf(fw: Firmware, pf: int, cmd: Pfvf) -> FwCommand:
    """Returns the resources that a function may use; setting them is refused."""
    if not cmd.read:
        raise Refused(Retval.EPERM, "only the configuration file provisions functions")
    share = fw.scenario.queues.functions[cmd.pfn]
    return cmd.reply(
        niqflint=share.ingress_count,
        niq=share.ingress_count,
        neq=share.egress_count,
        pmask=(1 << fw.profile.ports.count) - 1,
        cmask=0xF,
        tc=TRAFFIC_CLASSES,
        nvi=slices(fw),
        nexactf=fw.chip.mps.tcam_entries // 4,
        r_caps=ALL,
        wx_caps=ALL,
        nethctrl=share.egress_count,
    )


@answers(Devlog)
def devlog(fw: Firmware, pf: int, cmd: Devlog) -> FwCommand:
    """Returns the location of the device log."""
    return cmd.reply(
        memtype_devlog=fw.log.memory.type.number,
        memaddr16_devlog=fw.log.offset // ADDRESS_UNIT,
        memsize_devlog=fw.log.size,
    )


@answers(Hma)
def hma(fw: Firmware, pf: int, cmd: Hma) -> FwCommand:
    """Takes pages of host memory, in one command after another.

    The card never uses them: it keeps what would be there in its own memory, "hma".
    """
    size = fw.profile.memory.hma
    wrong = cmd.size != size or not 0 < cmd.naddr <= len(cmd.phy_address) or not cmd.addr_size
    if not size or not cmd.mode or wrong:
        raise Refused(Retval.EINVAL, f"{cmd.naddr} pages of {cmd.size} MiB of host memory")
    pages = [] if cmd.soc else list(fw.state.host_pages.get(pf, ()))
    pages += cmd.phy_address[: cmd.naddr]
    if len(pages) * cmd.addr_size * HMA_UNIT > size * MEGABYTE:
        raise Refused(Retval.EINVAL, f"{len(pages)} pages of host memory: too many")
    fw.state.host_pages[pf] = tuple(pages)
    if cmd.eoc:
        fw.note(Facility.RES, "%u pages of host memory, %u MiB", len(pages), size)
    return cmd.reply()


@answers(Clip)
def clip(fw: Firmware, pf: int, cmd: Clip) -> FwCommand:
    """Adds or drops a use of a local IPv6 address; the function's last one frees it."""
    one = LocalIpv6(pf, cmd.ip_hi.to_bytes(8, "big") + cmd.ip_lo.to_bytes(8, "big"))
    users = fw.state.local_ipv6
    if cmd.alloc:
        users[one] = users.get(one, 0) + 1
    elif one not in users:
        raise Refused(Retval.ENOENT, "no such local address")
    else:
        users[one] -= 1
        if not users[one]:
            del users[one]
    return cmd.reply()


@answers(PtpInit)
def ptp_init(fw: Firmware, pf: int, cmd: PtpInit) -> FwCommand:
    """Accepts time stamping, but no frame gets a time stamp here."""
    if cmd.sc not in PtpSub._value2member_map_:
        raise Refused(Retval.EINVAL, f"PTP sub-command {cmd.sc:#x}")
    return cmd.reply()


@answers(PtpTime)
def ptp_time(fw: Firmware, pf: int, cmd: PtpTime) -> FwCommand:
    """Sets, adjusts or returns the clock, which only this command moves."""
    if cmd.sc == PtpSub.SET_TIME:
        fw.state.clock = cmd.tm
    elif cmd.sc in (PtpSub.ADJ_TIME, PtpSub.ADJ_FTIME):
        fw.state.clock += -cmd.tm if cmd.sign else cmd.tm
    elif cmd.sc == PtpSub.GET_TIME:
        return cmd.reply(tm=fw.state.clock)
    elif cmd.sc not in PtpSub._value2member_map_:
        raise Refused(Retval.EINVAL, f"PTP sub-command {cmd.sc:#x}")
    return cmd.reply()
