"""Commands about receive-side scaling, which write the transport processor's tables."""

from __future__ import annotations

from vmcoredd.chip.firmware import (
    FwCommand,
    Retval,
    RssGlbConfig,
    RssGlbMode,
    RssIndTbl,
    RssViConfig,
)
from vmcoredd.chip.tp import RSS_QUEUES_PER_ROW
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.interfaces import interface
from vmcoredd.emu.firmware.showing import show, show_default_queue
from vmcoredd.emu.firmware.state import Interface

HASHED = {
    "ip6fourtupen": "hash_ip6_ports",
    "ip6twotupen": "hash_ip6",
    "ip4fourtupen": "hash_ip4_ports",
    "ip4twotupen": "hash_ip4",
    "udpen": "hash_udp",
}
"""The flags of FW_RSS_VI_CONFIG, and the fields of an interface that they set."""
BOOT_HASHING = {"VirtEnable": 1, "TNLMapEn": 1, "TNLAllLookup": 1, "HashToeplitz": 1}
"""The fields of TP_RSS_CONFIG that firmware sets (assumed)."""
GLOBAL = {
    "synmapen": "SYNMapEn",
    "syn4tupenipv6": "SYN4tupEnIpv6",
    "syn2tupenipv6": "SYN2tupEnIpv6",
    "syn4tupenipv4": "SYN4tupEnIpv4",
    "syn2tupenipv4": "SYN2tupEnIpv4",
    "ofdmapen": "OFDMapEn",
    "tnlmapen": "TNLMapEn",
    "tnlalllkp": "TNLAllLookup",
    "hashtoeplitz": "HashToeplitz",
}
"""The flags of FW_RSS_GLB_CONFIG, and the bits of TP_RSS_CONFIG that they set."""


@answers(RssGlbConfig)
def global_config(fw: Firmware, pf: int, cmd: RssGlbConfig) -> FwCommand:
    """Sets or returns what the card hashes; each interface has its own hashing."""
    config = fw.r.TP_RSS_CONFIG
    if cmd.write:
        if cmd.mode != RssGlbMode.BASICVIRTUAL:
            raise Refused(Retval.EINVAL, f"RSS mode {cmd.mode}")
        bits = {name: getattr(cmd, field) for field, name in GLOBAL.items()}
        fw.spaces.put(config, VirtEnable=1, **bits)
        return cmd.reply()
    word = fw.spaces.get(config)
    flags = {field: config.get(word, name) for field, name in GLOBAL.items()}
    return cmd.reply(mode=RssGlbMode.BASICVIRTUAL, **flags)


@answers(RssViConfig)
def vi_config(fw: Firmware, pf: int, cmd: RssViConfig) -> FwCommand:
    """Sets or returns an interface's default queue and the parts of a frame that it hashes."""
    found = interface(fw, pf, cmd.viid)
    if not cmd.write:
        hashed = {field: getattr(found, name) for field, name in HASHED.items()}
        return cmd.reply(defaultq=found.default_queue, **hashed)
    found.default_queue = cmd.defaultq
    for field, name in HASHED.items():
        setattr(found, name, getattr(cmd, field))
    show(fw, found)
    _show_function(fw, found)
    return cmd.reply()


def _show_function(fw: Firmware, row: Interface) -> None:
    """Shows an interface's hashing in the register of its function, which all its interfaces
    share."""
    fw.spaces.put(
        fw.r[f"TP_RSS_PF{row.pf}_CONFIG"],
        UDPFOURTUPEN=row.hash_udp,
        IP6FOURTUPEN=row.hash_ip6_ports,
        IP6TWOTUPEN=row.hash_ip6,
        IP4FOURTUPEN=row.hash_ip4_ports,
        IP4TWOTUPEN=row.hash_ip4,
    )
    show_default_queue(fw, row, row.default_queue)


@answers(RssIndTbl)
def indirection(fw: Firmware, pf: int, cmd: RssIndTbl) -> FwCommand:
    """Writes queues to the interface's slice of the table."""
    found = interface(fw, pf, cmd.viid)
    if cmd.startidx + len(cmd.queues) > found.rss_count:
        raise Refused(Retval.EINVAL, f"RSS entry {cmd.startidx} is beyond the slice")
    table, entry = fw.spaces.space("tp_rss_lkp_table"), fw.r.TP_RSS_LKP_TABLE
    for number, queue in enumerate(cmd.queues, found.rss_first + cmd.startidx):
        row, which = divmod(number, RSS_QUEUES_PER_ROW)
        field = entry.field(f"LkpTblQueue{which}")
        table.words[row] = table.words[row] & ~field.mask | field.put(queue)
    return cmd.reply()
