"""How packets of physical functions are spread: RSS' key, its mode, and a row per function.

No entity of Linux has them; they are registers in TP_INDIRECT and REG_DUMP (rss_pf_config_show(),
rss_key_show(), rss_config_show()).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.chip.pci import PFS
from vmcoredd.cudbg.decoded import Bytes, Column, Fields, Item, Part, Table, Text, Value
from vmcoredd.cudbg.words import words_of_space

EXPLAINED_BY = ("TP_INDIRECT", "REG_DUMP")
_KEY_WORDS = 10
_KEY_MODES = (
    "global",
    "global and per-VF scramble",
    "per-PF and per-VF scramble",
    "per-VF and per-VF scramble",
)
_COLUMNS = (
    Column("PF", "d"),
    Column("map index", "d"),
    Column("mask size", "d"),
    Column("VF mask size", "d"),
    Column("hashes and enables"),
    Column("default queue 0", "d"),
    Column("1", "d"),
)
_SHORT = {
    "MAPENABLE": "map",
    "CHNENABLE": "channel",
    "PRTENABLE": "port",
    "PRIENABLE": "priority",
    "IP6FOURTUPEN": "IPv6-4",
    "IP6TWOTUPEN": "IPv6-2",
    "IP4FOURTUPEN": "IPv4-4",
    "IP4TWOTUPEN": "IPv4-2",
    "UDPFOURTUPEN": "UDP-4",
}
"""The words for enable bits; a number is how many fields of a packet are hashed. A T6's bits 30
and 29 are named as in Chelsio's database; Linux gives them the names of a T5."""


def rss_functions(others: Mapping[str, Bytes], chip: Chip) -> list[Part]:
    """Returns the key and the physical functions, from the bytes of EXPLAINED_BY."""
    words, r = words_of_space(others, "TP_INDIRECT", "tp_pio", chip), chip.r
    key = [words.get(r.TP_RSS_SECRET_KEY0 + i, U32_MASK) for i in range(_KEY_WORDS)]
    if r.TP_RSS_PF_MAP not in words:
        lines = ["The key and the physical functions are in TP_INDIRECT, not in the dump."]
        return [Text("RSS of physical functions", lines)]
    doubt = "a word ffffffff is perhaps not measured" if U32_MASK in key else ""
    size = r.TP_RSS_PF_MAP.get(words[r.TP_RSS_PF_MAP], "LKPIDXSIZE")
    items = [
        Item("key", "".join(f"{word:08x}" for word in reversed(key)), doubt),
        Item("key mode", _key_mode(others.get("REG_DUMP"), chip), "of TP_RSS_CONFIG_VRT"),
        Item("map index size", size, "of TP_RSS_PF_MAP"),
    ]
    title = "physical functions, from registers TP_RSS_PF*"
    return [
        Fields("RSS, from registers in TP_INDIRECT", items),
        Table(title, _COLUMNS, list(_rows(words, chip))),
    ]


def _key_mode(registers: Bytes | None, chip: Chip) -> str:
    at = int(chip.r.TP_RSS_CONFIG_VRT)
    if registers is None or len(registers) < at + WORD_BYTES:
        return "unknown: REG_DUMP is not in the dump"
    word = int.from_bytes(registers[at : at + WORD_BYTES], "little")
    if word == U32_MASK:
        return "unknown: TP_RSS_CONFIG_VRT reads as all ones"
    return _KEY_MODES[chip.r.TP_RSS_CONFIG_VRT.get(word, "KeyMode")]


def _rows(words: Mapping[int, int], chip: Chip) -> Iterator[list[Value]]:
    """Yields a row per function; cells of registers that were not read are empty."""
    r = chip.r
    for pf in range(PFS):
        index = r.TP_RSS_PF_MAP.get(words[r.TP_RSS_PF_MAP], f"PF{pf}LKPIDX")
        masks, config = words.get(r.TP_RSS_PF_MSK), r[f"TP_RSS_PF{pf}_CONFIG"]
        mask = None if masks is None else r.TP_RSS_PF_MSK.get(masks, f"PF{pf}MSKSIZE")
        yield [pf, index, mask, *_config_cells(config, words.get(config))]


def _config_cells(config: Register, word: int | None) -> list[Value]:
    if word is None:
        return [None, "not read", None, None]
    fields = config.decode(word)
    enables = " ".join(short for name, short in _SHORT.items() if fields.get(name))
    return [fields["IVFWIDTH"], enables, fields["CH0DEFAULTQUEUE"], fields["CH1DEFAULTQUEUE"]]
