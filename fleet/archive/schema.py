"""The tables of an archive. Whoever changes the meaning of a column raises VERSION."""

from __future__ import annotations

from typing import NamedTuple

VERSION = 1


class Column(NamedTuple):
    """A column: its name, its type in DuckDB, and what it holds."""

    name: str
    type: str
    meaning: str


_EVIDENCE = (
    'STRUCT(entity VARCHAR, register VARCHAR, "offset" UINTEGER, instance VARCHAR, '
    "field VARCHAR, value VARCHAR, word UINTEGER)[]"
)
KEYS = (
    Column("dump", "VARCHAR", "SHA-256 of the payload, as `sha256sum` of the extracted dump says"),
    Column("serial", "VARCHAR", "the card's serial number; empty if the dump does not tell it"),
    Column("card", "VARCHAR", "the card's type: its name in the VPD, or else its chip"),
    Column("time", "TIMESTAMP", "when it crashed, in UTC; see `time_source`"),
)
"""The first columns of each table."""
DUMPS = (
    Column("file", "VARCHAR", "the path of the file, as it was when it was added"),
    Column("note", "UINTEGER", "the index of the note in the file; null if there is none"),
    Column("name", "VARCHAR", "the dump's name, such as `cxgb4_0000:01:00.4`"),
    Column("size_bytes", "UBIGINT", "of the payload"),
    Column(
        "time_source",
        "VARCHAR",
        "`crash`: the kernel's CRASHTIME in VMCOREINFO; `file`: when the file was last changed",
    ),
    Column(
        "condition",
        "VARCHAR",
        "`good`; `damaged`: what is left was read; `foreign`: another driver's dump; `empty`: an "
        "intact vmcore without a device dump; `unreadable`: nothing could be read",
    ),
    Column("error", "VARCHAR", "why nothing could be read; empty if something was"),
    Column("damage", "VARCHAR[]", "what is damaged, in words"),
    Column("lost", "VARCHAR[]", "what could not be judged, and why"),
    Column("chip", "VARCHAR", "`T6 rev 0`"),
    Column("part", "VARCHAR", "the card's part number"),
    Column("mac", "VARCHAR", "the card's first address"),
    Column("ports", "UINTEGER", "how many ports it has; null if the dump does not tell it"),
    Column("firmware", "VARCHAR", "the firmware's version"),
    Column("state", "VARCHAR", "what the firmware was doing"),
    Column("generation", "UINTEGER", "0, and one more each time that `add --again` read it"),
    Column("program", "VARCHAR", "the version of vmcoredd that read it"),
    Column("rules", "VARCHAR", "a fingerprint of the rules that judged it"),
)
ENTITIES = (
    Column("number", "UINTEGER", "the entity's number"),
    Column("name", "VARCHAR", "its name"),
    Column("code", "INTEGER", "0, or why it has no data"),
    Column("condition", "VARCHAR", "`good`, `partial`, `absent`, `missing` or `left_out`"),
    Column("status", "VARCHAR", "the driver's status, in words"),
    Column("sys_err", "INTEGER", "the driver's error"),
    Column("sys_warn", "INTEGER", "the driver's warning"),
    Column("size_bytes", "UBIGINT", "in the dump"),
    Column("raw_size_bytes", "UBIGINT", "unpacked; null if it is not known how to unpack it"),
    Column("damage", "VARCHAR", "what is damaged; null if nothing is"),
)
REGISTERS = (
    Column("entity", "VARCHAR", "the entity that holds the word: `REG_DUMP`, `TP_INDIRECT`, ..."),
    Column("space", "VARCHAR", "`bar0`, or the indirect space"),
    Column("offset", "UINTEGER", "in bytes in BAR0; the index in an indirect space"),
    Column("register", "VARCHAR", "the register's name; empty if no table describes the word"),
    Column("element", "UINTEGER", "the index in an array of registers, else 0"),
    Column("instance", "VARCHAR", "`EDC0`, `port 1`, `PF4`; empty where there is only one"),
    Column("value", "UINTEGER", "the word"),
    Column("fields", "MAP(VARCHAR, UINTEGER)", "the fields that are not 0: `fields['ERR']`"),
)
LOG = (
    Column("seqno", "UBIGINT", "the number of the record"),
    Column("ticks", "UBIGINT", "its time in ticks of the core clock"),
    Column("seconds", "DOUBLE", "the same in seconds; null if the clock is not known"),
    Column("facility", "VARCHAR", "the part of the firmware that wrote it"),
    Column("level", "VARCHAR", "how severe the firmware says it is"),
    Column("message", "VARCHAR", "its text"),
)
FINDINGS = (
    Column("position", "UINTEGER", "its place in the verdict: causes before consequences"),
    Column("severity", "VARCHAR", "`fatal`, `error`, `warning` or `note`"),
    Column("rule", "VARCHAR", "the rule that found it"),
    Column("entity", "VARCHAR", "where the first evidence is"),
    Column("register", "VARCHAR", "its register; empty if it is none"),
    Column("offset", "UINTEGER", "the register's offset"),
    Column("instance", "VARCHAR", "the register's instance"),
    Column("field", "VARCHAR", "the field that counts; empty if the whole word does"),
    Column("value", "VARCHAR", "its value: a number in decimal, or text"),
    Column("word", "UINTEGER", "the register's whole word"),
    Column("meaning", "VARCHAR", "what it means"),
    Column("to_do", "VARCHAR", "what to do"),
    Column("source", "VARCHAR", "the source of the rule"),
    Column("explained_by", "VARCHAR[]", "the rules of findings that are likely causes"),
    Column("evidence", _EVIDENCE, "all evidence; `value` is text here too"),
)
LAST = "dumps"
"""The table that is written last: a dump counts when its file there has its name."""
TABLES = {
    "entities": KEYS + ENTITIES,
    "registers": KEYS + REGISTERS,
    "log": KEYS + LOG,
    "findings": KEYS + FINDINGS,
    LAST: KEYS + DUMPS,
}
"""The columns of each table, in the order in which the files of a dump are written."""
ABOUT = {
    "dumps": "a row for each dump, and one for each file of which nothing could be read",
    "entities": "a row for each entity of a dump, as `show --json` lists them",
    "registers": "a row for each register word of a dump",
    "log": "a row for each record of the firmware's log",
    "findings": "a row for each finding, as `diagnose --json` has them",
}
SORTED_BY = {
    "dumps": ("dump",),
    "entities": ("number", "dump"),
    "registers": ("register", "space", "offset", "dump"),
    "log": ("dump", "seqno"),
    "findings": ("rule", "dump", "position"),
}
"""How `compact` orders the rows, so that a query reads few of them. The order is whole: the same
dumps give the same rows in the same order."""


def quoted(name: str) -> str:
    """Returns a name as SQL has it: `offset` is a word of the language too."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Returns a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
