"""Compares the firmware messages with the layouts, fields and numbers of Linux's t4fw_api.h."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kernel_headers import DRIVER, Header, enum, enum_of, header, struct

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import devlog, firmware, flash
from vmcoredd.chip.firmware import codes, device, interface, ldst, message, params, port, rss
from vmcoredd.chip.layout import field_width, sizeof

pytestmark = pytest.mark.interop

COMMANDS: dict[str, type[Any]] = {
    "HELLO": firmware.Hello,
    "RESET": firmware.Reset,
    "CAPS_CONFIG": firmware.CapsConfig,
    "PFVF": firmware.Pfvf,
    "PARAMS": firmware.Params,
    "DEVLOG": firmware.Devlog,
    "HMA": firmware.Hma,
    "CLIP": firmware.Clip,
    "IQ": firmware.Iq,
    "EQ_ETH": firmware.EqEth,
    "EQ_CTRL": firmware.EqCtrl,
    "EQ_OFLD": firmware.EqOfld,
    "VI": firmware.Vi,
    "VI_RXMODE": firmware.ViRxmode,
    "VI_ENABLE": firmware.ViEnable,
    "VI_STATS": firmware.ViStats,
    "PORT_STATS": firmware.PortStats,
    "PORT_LB_STATS": firmware.PortLbStats,
    "ACL_MAC": firmware.AclMac,
    "ACL_VLAN": firmware.AclVlan,
    "RSS_IND_TBL": firmware.RssIndTbl,
    "RSS_GLB_CONFIG": firmware.RssGlbConfig,
    "RSS_VI_CONFIG": firmware.RssViConfig,
}
"""Commands with one layout, or with one that has all fields, by the stem of their macros."""

VARIANTS: dict[str, tuple[type[Any], ...]] = {
    "LDST": tuple({*ldst.VARIANTS.values(), ldst.LdstMpsAttributes}),
    "VI_MAC": (*interface.VI_MAC_VARIANTS.values(), interface.ExactMac, interface.VniMac),
    "PORT": tuple(port.VARIANTS.values()),
    "PTP": (device.PtpInit, device.PtpTime),
    "DEBUG": (device.DebugAssert, device.DebugPrint),
}

UNUSED = {
    "LDST_CMD_WRMASK",
    "PORT_CMD_READ",  # the header's own READ bit
    "PORT_CMD_OVLAN3",  # VLANs, DCB: no driver of a dump or a plain interface sends them
    "PORT_CMD_OVLAN2",
    "PORT_CMD_OVLAN1",
    "PORT_CMD_OVLAN0",
    "PORT_CMD_IVLAN0",
    "PORT_CMD_TXIPG",
    "PORT_CMD_APPLY",
    "PORT_CMD_ALL_SYNCD",
    "PORT_CMD_DCB_VERSION",
    "VI_MAC_CMD_HASHVECEN",  # bit 0 of the entry type
    "RSS_IND_TBL_CMD_IQ0",
    "RSS_IND_TBL_CMD_IQ1",
    "RSS_IND_TBL_CMD_IQ2",
}
"""Macros that name none of our fields, or three of them at once."""


@pytest.fixture(scope="module")
def path() -> Path:
    return kernel_source() / DRIVER / "t4fw_api.h"


@pytest.fixture(scope="module")
def api(path) -> Header:
    return header(path)


def shift(kind: type[Any], name: str) -> int:
    """Returns the lowest bit of a bit field in its word (from ctypes' `size`)."""
    descriptor = getattr(kind, name)
    return int(descriptor.size & 0xFFFF) if descriptor.size >> 16 else 0


def fits(kind: type[Any], name: str, at: int, width: int | None) -> bool:
    return (
        hasattr(kind, name)
        and shift(kind, name) == at
        and width in (None, field_width(getattr(kind, name)))
    )


def macros(api: Header, stem: str) -> list[tuple[str, int, int | None]]:
    return [
        (macro.name.removeprefix(f"FW_{stem}_CMD_"), macro.shift, macro.width)
        for macro in api.fields.values()
        if macro.name.startswith(f"FW_{stem}_CMD_")
        and f"{stem}_CMD_{macro.name.removeprefix(f'FW_{stem}_CMD_')}" not in UNUSED
    ]


@pytest.mark.parametrize("stem", COMMANDS)
def test_every_field_macro_of_a_command_is_a_field_of_its_class(api, stem) -> None:
    kind = COMMANDS[stem]
    found = macros(api, stem)
    wrong = [name for name, at, width in found if not fits(kind, name.lower(), at, width)]
    assert wrong == []


@pytest.mark.parametrize("stem", VARIANTS)
def test_every_field_macro_of_a_command_is_in_one_of_its_layouts(api, stem) -> None:
    wrong = [
        name
        for name, at, width in macros(api, stem)
        if not any(fits(kind, name.lower(), at, width) for kind in VARIANTS[stem])
    ]
    assert wrong == []


def test_words_of_the_header_are_those_of_fw_cmd(api) -> None:
    for name in ("OP", "REQUEST", "READ", "WRITE", "EXEC", "RETVAL", "LEN16"):
        macro = api.fields[f"FW_CMD_{name}"]
        assert fits(firmware.Hello, name.lower(), macro.shift, macro.width), name


MEMBERS: dict[str, tuple[type[Any], ...]] = {
    "fw_hello_cmd": (firmware.Hello,),
    "fw_bye_cmd": (firmware.Bye,),
    "fw_reset_cmd": (firmware.Reset,),
    "fw_initialize_cmd": (firmware.Initialize,),
    "fw_caps_config_cmd": (firmware.CapsConfig,),
    "fw_params_cmd": (firmware.Params,),
    "fw_pfvf_cmd": (firmware.Pfvf,),
    "fw_ldst_cmd": VARIANTS["LDST"],
    "fw_iq_cmd": (firmware.Iq,),
    "fw_eq_eth_cmd": (firmware.EqEth,),
    "fw_eq_ctrl_cmd": (firmware.EqCtrl,),
    "fw_eq_ofld_cmd": (firmware.EqOfld,),
    "fw_vi_cmd": (firmware.Vi,),
    "fw_vi_mac_cmd": tuple(interface.VI_MAC_VARIANTS.values()),
    "fw_vi_rxmode_cmd": (firmware.ViRxmode,),
    "fw_vi_enable_cmd": (firmware.ViEnable,),
    "fw_acl_mac_cmd": (firmware.AclMac,),
    "fw_acl_vlan_cmd": (firmware.AclVlan,),
    "fw_port_cmd": VARIANTS["PORT"],
    "fw_ptp_cmd": VARIANTS["PTP"],
    "fw_rss_ind_tbl_cmd": (firmware.RssIndTbl,),
    "fw_rss_glb_config_cmd": (firmware.RssGlbConfig,),
    "fw_rss_vi_config_cmd": (firmware.RssViConfig,),
    "fw_sched_cmd": (firmware.Sched, firmware.SchedParams),
    "fw_clip_cmd": (firmware.Clip,),
    "fw_hma_cmd": (firmware.Hma,),
    "fw_debug_cmd": VARIANTS["DEBUG"],
    "fw_devlog_cmd": (firmware.Devlog,),
    "fw_devlog_e": (devlog.DevlogEntry,),
    "fw_hdr": (flash.FirmwareHeader,),
}


NOT_LAID_OUT = ("u.l2cfg.", "u.i2c_deprecated.", "u.le.")
"""Operands that neither the driver of a dump nor a plain interface sends."""


@pytest.mark.parametrize("name", MEMBERS)
def test_a_layout_has_the_size_of_its_struct(path, name) -> None:
    members = struct(path, name)
    end = max(at + size for at, size in members.values())
    for kind in MEMBERS[name]:
        assert sizeof(kind) == end


@pytest.mark.parametrize("name", MEMBERS)
def test_members_we_renamed_have_the_offsets_of_the_struct(path, name) -> None:
    wrong = []
    members = struct(path, name)
    for member, (at, size) in members.items():
        own = member.rpartition(".")[2]
        whole = not any(other.startswith(f"{member}.") for other in members)
        if not whole or re.fullmatch(r"r\d*(_lo)?", own) or member.startswith(NOT_LAID_OUT):
            continue  # a nested struct, reserved, or part of a layout that we lack
        places = {
            (getattr(kind, own).offset, field_width(getattr(kind, own)) // 8)
            for kind in MEMBERS[name]
            if own in kind.names()
        }
        if places and (at, size) not in places:
            wrong.append((member, at, size, places))
    assert wrong == []


ENUMS = {
    "fw_cmd_opcodes": (codes.Op, r"FW_(\w+)_CMD"),
    "fw_retval": (codes.Retval, r"FW_(\w+)"),
    "fw_ldst_addrspc": (codes.LdstSpace, r"FW_LDST_ADDRSPC_(\w+)"),
    "fw_memtype_cf": (codes.MemType, r"FW_MEMTYPE_CF_(\w+)"),
    "fw_params_param_dev": (params.Dev, r"FW_PARAMS_PARAM_DEV_(\w+)"),
    "fw_params_param_pfvf": (params.Pf, r"FW_PARAMS_PARAM_PFVF_(\w+)"),
    "fw_params_param_dmaq": (params.Dmaq, r"FW_PARAMS_PARAM_DMAQ_(\w+)"),
    "fw_params_param_dev_diag": (params.DiagSub, r"FW_PARAM_DEV_DIAG_(\w+)"),
    "fw_params_param_dev_filter": (params.FilterSub, r"FW_PARAM_DEV_FILTER_(\w+)"),
    "fw_port_action": (port.PortAction, r"FW_PORT_ACTION_(\w+)"),
    "fw_ptp_subop": (device.PtpSub, r"FW_PTP_SC_(\w+)"),
    "fw_vi_mac_entry_types": (interface.ViMacEntry, r"FW_VI_MAC_TYPE_(\w+)"),
    "fw_caps_config_nic": (device.NicCaps, r"FW_CAPS_CONFIG_NIC_?(\w*)"),
    "fw_devlog_level": (devlog.Level, r"FW_DEVLOG_LEVEL_(?!MAX)(\w+)"),
    "fw_devlog_facility": (devlog.Facility, r"FW_DEVLOG_FACILITY_(?!MAX)(\w+)"),
}


ELSEWHERE = {
    "VI_ENABLE_INGRESS_AFTER_LINKUP",
    "MAX_PKTS_PER_ETH_TX_PKTS_WR",
    "GET_SMT_START",
    "GET_SMT_SIZE",
}
"""Parameters that t4fw_api.h lacks; other public drivers use them."""


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_names_and_numbers_of_t4fw_api(path, name) -> None:
    ours, pattern = ENUMS[name]
    theirs = {
        match[1] or "NIC": value
        for member, value in enum(path, name).items()
        if (match := re.fullmatch(pattern, member))
    }
    assert {m.name: m.value for m in ours if m.name not in ELSEWHERE} == theirs


def test_the_mnemonics_are_those_of_t4fw_api(path) -> None:
    theirs = enum(path, "fw_params_mnem")
    del theirs["FW_PARAMS_MNEM_LAST"]
    assert {f"FW_PARAMS_MNEM_{each.name}": each.value for each in params.Mnemonic} == theirs


def test_port_capabilities_are_those_of_t4fw_api(path) -> None:
    renamed = {"PAUSE_802_3": "802_3_PAUSE", "ASM_DIR_802_3": "802_3_ASM_DIR"}
    text = path.read_text()
    for caps, prefix in ((port.PortCaps, "FW_PORT_CAP32_"), (port.PortCaps16, "FW_PORT_CAP_")):
        for cap in caps:
            name = prefix + renamed.get(str(cap.name), str(cap.name))
            found = re.search(rf"\b{name}\s+=?\s*(0x\w+?)(UL)?\b", text)
            assert found, name
            assert int(found[1], 16) == cap.value, name


def test_port_types_and_modules_are_those_of_t4fw_api(path) -> None:
    types = enum(path, "fw_port_type", {"FW_PORT_CMD_PTYPE_M": 0x1F})
    assert {f"FW_PORT_TYPE_{each.name}": each.value for each in port.PortType} == types
    modules = enum(path, "fw_port_module_type", {"FW_PORT_CMD_MODTYPE_M": 0x1F})
    plain = {
        name: value
        for name, value in modules.items()
        if name.removeprefix("FW_PORT_MOD_TYPE_") not in ("ERROR", "UNKNOWN", "NOTSUPPORTED")
    }
    ours = {f"FW_PORT_MOD_TYPE_{each.name}": each.value for each in port.PortModule}
    assert plain.items() <= ours.items()
    assert [ours[f"FW_PORT_MOD_TYPE_{n}"] for n in ("ERROR", "UNKNOWN", "NOTSUPPORTED")] == [
        0x1F - 3,
        0x1F - 2,
        0x1F - 1,
    ]


def test_special_mac_indices_are_those_of_t4fw_api(api) -> None:
    for each in interface.MacIndex:
        assert api.numbers[f"FW_VI_MAC_{each.name}"] == each.value
    assert api.numbers["FW_RXMODE_MTU_NO_CHG"] == interface.RXMODE_MTU_NO_CHANGE


def test_sizes_of_the_mailbox_and_of_the_log_are_those_of_the_driver(path, api) -> None:
    assert enum_of(path.parent / "t4_hw.h", "MBOX_LEN")["MBOX_LEN"] == message.MAILBOX_BYTES
    assert api.numbers["FW_DEVLOG_FMT_LEN"] == devlog.FORMAT_BYTES
    assert api.numbers["FW_DEVLOG_FMT_PARAMS_NUM"] == devlog.PARAMS
    assert api.numbers["PCIE_FW_PF_DEVLOG"] == devlog.DEVLOG_PF
    assert rss.QUEUES_PER_COMMAND == 32


def test_the_rss_modes_are_those_of_t4fw_api(api) -> None:
    for each in firmware.RssGlbMode:
        assert api.numbers[f"FW_RSS_GLB_CONFIG_CMD_MODE_{each.name}"] == each.value
