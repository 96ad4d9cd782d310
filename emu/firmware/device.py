"""Commands about the device: who is master, initialisation, capabilities, resources, clocks."""

from __future__ import annotations

from vmcoredd.chip.devlog import Facility
from vmcoredd.chip.firmware import (
    Bye,
    CapsConfig,
    Clip,
    Command,
    Devlog,
    Hello,
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
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.log import ADDRESS_UNIT
from vmcoredd.emu.firmware.resources import free_function
from vmcoredd.emu.flash import version

CONFIG_UNIT = 64 * 1024
ALL = 0xFF
"""Access rights: everything."""


@answers(Hello)
def hello(fw: Firmware, pf: int, ask: Hello) -> Command:
    """The first to ask becomes master, and one who insists."""
    state = fw.state
    if ask.masterforce or (state.master is None and not ask.masterdis):
        state.master = pf
    fw.note(Facility.CORE, "PF%d: hello, master is PF%d", pf, state.master or 0)
    return ask.reply(
        err=0,
        init=int(state.initialised),
        masterdis=0,
        masterforce=0,
        mbmaster=state.master or 0,
        mbasyncnot=ask.mbasyncnot,
        fwrev=version(fw.profile.firmware.version),
    )


@answers(Bye)
def bye(fw: Firmware, pf: int, ask: Bye) -> Command:
    """What the driver had is free again."""
    fw.note(Facility.CORE, "PF%d: bye", pf)
    fw.forget_function(pf)
    return ask.reply()


@answers(Reset)
def reset(fw: Firmware, pf: int, ask: Reset) -> Command:
    """The device has to be initialised again; the master stays."""
    _only_master(fw, pf)
    for function in range(8):
        free_function(fw.state, function)
    fw.state.initialised = fw.state.caps_agreed = False
    fw.note(Facility.CORE, "PF%d: reset 0x%x", pf, ask.val)
    return ask.reply()


@answers(Initialize)
def initialize(fw: Firmware, pf: int, ask: Initialize) -> Command:
    """Only once capabilities are agreed on."""
    _only_master(fw, pf)
    if not fw.state.caps_agreed:
        raise Refused(Retval.EINVAL, "no capabilities agreed on")
    fw.state.initialised = True
    fw.note(Facility.CORE, "PF%d: device initialised", pf)
    return ask.reply()


def _only_master(fw: Firmware, pf: int) -> None:
    if fw.state.master != pf:
        raise Refused(Retval.EPERM, f"PF{pf} is not master")


@answers(CapsConfig)
def caps_config(fw: Firmware, pf: int, ask: CapsConfig) -> Command:
    """Reading tells what the device can do, writing agrees on it."""
    if ask.write:
        _only_master(fw, pf)
        fw.state.caps_agreed = True
        return ask.reply()
    if ask.cfvalid and ask.memtype_cf == MemType.FLASH:
        _config_in_flash(ask.memaddr64k_cf * CONFIG_UNIT)
    config = fw.profile.vpd.config_version
    caps = NicCaps.NIC | NicCaps.VM
    return ask.reply(niccaps=caps, cfcsum=config, finiver=config, finicsum=config)


def _config_in_flash(address: int) -> None:
    if address != START["CFG"]:
        raise Refused(Retval.ENOENT, f"no configuration file at {address:#x}")


@answers(Pfvf)
def pfvf(fw: Firmware, pf: int, ask: Pfvf) -> Command:
    """What a function may use; setting it is not offered."""
    if not ask.read:
        raise Refused(Retval.EPERM, "the configuration file alone provisions functions")
    share = fw.card.scenario.queues.functions[ask.pfn]
    return ask.reply(
        niqflint=share.ingress_count,
        niq=share.ingress_count,
        neq=share.egress_count,
        pmask=(1 << fw.profile.ports.count) - 1,
        cmask=0xF,
        tc=16,
        nvi=32,
        nexactf=fw.chip.mps_tcam_entries // 4,
        r_caps=ALL,
        wx_caps=ALL,
        nethctrl=share.egress_count,
    )


@answers(Devlog)
def devlog(fw: Firmware, pf: int, ask: Devlog) -> Command:
    """Where the device log is."""
    return ask.reply(
        memtype_devlog=fw.log.memory.type.number,
        memaddr16_devlog=fw.log.offset // ADDRESS_UNIT,
        memsize_devlog=fw.log.size,
    )


@answers(Clip)
def clip(fw: Firmware, pf: int, ask: Clip) -> Command:
    """Local IPv6 addresses are counted: the last user frees one."""
    address = ask.ip_hi.to_bytes(8, "big") + ask.ip_lo.to_bytes(8, "big")
    users = fw.state.local_ipv6
    if ask.alloc:
        users[address] = users.get(address, 0) + 1
    elif address not in users:
        raise Refused(Retval.ENOENT, "no such local address")
    else:
        users[address] -= 1
        if not users[address]:
            del users[address]
    return ask.reply()


@answers(PtpInit)
def ptp_init(fw: Firmware, pf: int, ask: PtpInit) -> Command:
    """Time stamps are accepted, but no frame carries one here."""
    if ask.sc not in PtpSub._value2member_map_:
        raise Refused(Retval.EINVAL, f"PTP sub-command {ask.sc:#x}")
    return ask.reply()


@answers(PtpTime)
def ptp_time(fw: Firmware, pf: int, ask: PtpTime) -> Command:
    """The clock stands still between commands: the model has no time of its own."""
    if ask.sc == PtpSub.SET_TIME:
        fw.state.clock = ask.tm
    elif ask.sc in (PtpSub.ADJ_TIME, PtpSub.ADJ_FTIME):
        fw.state.clock += -ask.tm if ask.sign else ask.tm
    elif ask.sc == PtpSub.GET_TIME:
        return ask.reply(tm=fw.state.clock)
    elif ask.sc not in PtpSub._value2member_map_:
        raise Refused(Retval.EINVAL, f"PTP sub-command {ask.sc:#x}")
    return ask.reply()
