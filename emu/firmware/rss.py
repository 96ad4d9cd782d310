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
from vmcoredd.emu.firmware.interfaces import interface, show

HASHED = {
    "ip6fourtupen": "hash_ip6_ports",
    "ip6twotupen": "hash_ip6",
    "ip4fourtupen": "hash_ip4_ports",
    "ip4twotupen": "hash_ip4",
    "udpen": "hash_udp",
}
"""The flags of FW_RSS_VI_CONFIG, and the fields of an interface that they set."""


@answers(RssGlbConfig)
def global_config(fw: Firmware, pf: int, cmd: RssGlbConfig) -> FwCommand:
    """Reports that each interface has its own hashing."""
    return cmd.reply(mode=RssGlbMode.BASICVIRTUAL, tnlmapen=1, hashtoeplitz=1, tnlalllkp=1)


@answers(RssViConfig)
def vi_config(fw: Firmware, pf: int, cmd: RssViConfig) -> FwCommand:
    """Sets or returns an interface's default queue and the parts of a frame that it hashes."""
    found = interface(fw, cmd.viid)
    if not cmd.write:
        hashed = {field: getattr(found, name) for field, name in HASHED.items()}
        return cmd.reply(defaultq=found.default_queue, **hashed)
    found.default_queue = cmd.defaultq
    for field, name in HASHED.items():
        setattr(found, name, getattr(cmd, field))
    show(fw, found)
    return cmd.reply()


@answers(RssIndTbl)
def indirection(fw: Firmware, pf: int, cmd: RssIndTbl) -> FwCommand:
    """Writes queues to the interface's slice of the table."""
    found = interface(fw, cmd.viid)
    table, entry = fw.spaces.space("tp_rss_lkp_table"), fw.r.TP_RSS_LKP_TABLE
    for number, queue in enumerate(cmd.queues, found.rss_first + cmd.startidx):
        row, which = divmod(number, RSS_QUEUES_PER_ROW)
        if row >= table.count:
            raise Refused(Retval.EINVAL, f"RSS entry {number} is beyond the table")
        field = entry.field(f"LkpTblQueue{which}")
        table.words[row] = table.words[row] & ~field.mask | field.put(queue)
    return cmd.reply()
