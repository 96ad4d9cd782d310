"""Commands about receive-side scaling: they write the transport processor's tables."""

from __future__ import annotations

from vmcoredd.chip.firmware import Command, Retval, RssGlbConfig, RssGlbMode, RssIndTbl, RssViConfig
from vmcoredd.emu.firmware.answers import Refused, answers
from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.interfaces import interface

QUEUES_OF_ROW = 2


@answers(RssGlbConfig)
def global_config(fw: Firmware, pf: int, ask: RssGlbConfig) -> Command:
    """Each interface hashes on its own."""
    return ask.reply(mode=RssGlbMode.BASICVIRTUAL, tnlmapen=1, hashtoeplitz=1, tnlalllkp=1)


@answers(RssViConfig)
def vi_config(fw: Firmware, pf: int, ask: RssViConfig) -> Command:
    """The default queue is remembered; what is hashed is told when read."""
    found = interface(fw, ask.viid)
    if ask.write:
        found.default_queue = ask.defaultq
        return ask.reply()
    hashed = {"ip6fourtupen": 1, "ip6twotupen": 1, "ip4fourtupen": 1, "ip4twotupen": 1}
    return ask.reply(defaultq=found.default_queue, udpen=0, **hashed)


@answers(RssIndTbl)
def indirection(fw: Firmware, pf: int, ask: RssIndTbl) -> Command:
    """Writes queues into the interface's slice of the table."""
    found = interface(fw, ask.viid)
    table, entry = fw.words.space("tp_rss_lkp_table"), fw.r.TP_RSS_LKP_TABLE
    for number, queue in enumerate(ask.queues, found.rss_base + ask.startidx):
        row, which = divmod(number, QUEUES_OF_ROW)
        if row >= table.count:
            raise Refused(Retval.EINVAL, f"RSS entry {number} is beyond the table")
        field = entry.field(f"LkpTblQueue{which}")
        table.words[row] = table.words[row] & ~field.mask | field.put(queue)
    return ask.reply()
