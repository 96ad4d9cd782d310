"""The container of a device dump, byte by byte, with the bytes of an emulated card's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from made.dumps import T6_CARD, dump, note
from made.layouts import bytes_table
from vmcoredd.cudbg.container import (
    DUMP_BYTES,
    ENTITY_HEADER_BYTES,
    HEADER_BYTES,
    MAX_ENTITY,
    PIECE_HEADER_BYTES,
    EntityHeader,
    Header,
    PieceHeader,
    VersionHeader,
    entity_header_offset,
)
from vmcoredd.cudbg.errors import Code, describe
from vmcoredd.vmcore.elf import DUMP_HEADER_SIZE, VMCOREDD_HEADER
from vmcoredd.vmcore.elf import ELF64 as LAYOUT

Meaning = Callable[[Any], str]

NOTE: dict[str, Meaning] = {
    "n_namesz": lambda value: f"{value}: the length of `name`, its NULs included",
    "n_descsz": lambda value: (
        f"{value:,}: the length of `dump_name` and of everything behind it, to the end of the "
        "buffer, which the kernel rounds up to whole pages"
    ),
    "n_type": lambda value: f"{value:#x}: NT_VMCOREDD",
    "name": lambda value: f"{value.decode()}: the note's owner",
    "dump_name": lambda value: (
        f"{value.decode()}: what the driver calls its device. A name of 44 bytes has no NUL"
    ),
}
HEADER: dict[str, Meaning] = {
    "signature": lambda value: (
        f"{value}, which is the letters CUDB, each by its number in ASCII. It tells the byte "
        "order of everything else"
    ),
    "hdr_len": lambda value: f"{value}: the length of this header",
    "major_ver": lambda value: f"{value}: the version of the format, before the dot",
    "minor_ver": lambda value: f"{value}: and behind it",
    "data_len": lambda value: (
        f"{value:,}: of all headers, and of the entities that succeeded, with their padding"
    ),
    "hdr_flags": lambda value: "unused",
    "max_entities": lambda value: f"{value}: how many entity headers follow",
    "chip_ver": lambda value: (
        f"{value:#x}: the generation {value >> 4}, and the revision {value & 15}"
    ),
    "types": lambda value: (
        f"bits 2:0 are {value & 7}, the kind of dump (1: made at a crash). Bits 7:4 are "
        f"{value >> 4}, the compression: 1 none, 2 zlib; FreeBSD's 0 is FastLZ. A big-endian "
        "compiler swaps the two"
    ),
    "reserved": lambda value: "",
}
ENTITY: dict[str, Meaning] = {
    "entity_type": lambda value: (
        f"{value}: the entity's number. Where it is 0, the entity was not attempted"
    ),
    "start_offset": lambda value: f"{value:#x}: where its data begin, from the cudbg header on",
    "size": lambda value: f"{value:,}: their length as stored, with padding; 0 if it failed",
    "hdr_flags": lambda value: f"{describe(value)}: the status",
    "sys_warn": lambda value: "the reason why a part is missing; 0 if none is",
    "sys_err": lambda value: (
        f"{value - (1 << 32) if value >> 31 else value}: what failed underneath. If it is not 0, "
        f"the status is {int(Code.SYSTEM_ERROR)}"
    ),
    "num_pad": lambda value: f"{value}: how many bytes of padding `size` includes, 0 to 3",
    "flag": lambda value: "bit 0: there is extended data. Linux writes none",
    "reserved1": lambda value: "",
    "next_ext_offset": lambda value: "where extended data begin; 0 in Linux",
    "reserved": lambda value: "",
}
PIECE: dict[str, Meaning] = {
    "compress_id": lambda value: f"{value}: begins each piece",
    "padding": lambda value: "the compiler's, so that the next member is aligned",
    "decompress_size": lambda value: f"{value:,}: of the raw bytes",
    "compress_size": lambda value: f"{value:,}: of the zlib stream behind this header",
    "rsvd": lambda value: "nobody writes it: it holds what stood there before",
}
VERSIONED: dict[str, Meaning] = {
    "signature": lambda value: f"{value:#x}",
    "revision": lambda value: f"{value}: of the entity's layout",
    "size": lambda value: f"{value}: of what follows this header",
}


def _table(layout: Any, meanings: dict[str, Meaning], data: bytes, start: int) -> str:
    return bytes_table(layout, data, start, lambda name, value: meanings[name](value))


def _payload() -> bytes:
    return note(T6_CARD)[1][DUMP_HEADER_SIZE:]


def note_header() -> str:
    """Returns the note's header."""
    found, data = note(T6_CARD)
    where = f"In this vmcore, the note begins at offset {found.offset:#x} of the file.\n\n"
    return where + _table(VMCOREDD_HEADER[LAYOUT.order], NOTE, data, 0)


def dump_header() -> str:
    """Returns the header of the dump."""
    return _table(Header, HEADER, _payload(), 0)


def entity_header(name: str) -> str:
    """Returns the header of an entity."""
    at = entity_header_offset(dump(T6_CARD).entity(name).number)
    return _table(EntityHeader, ENTITY, _payload()[at:], at)


def piece(name: str) -> str:
    """Returns the header of an entity's first piece, and the first bytes behind it."""
    start = dump(T6_CARD).entity(name).start
    table = _table(PieceHeader, PIECE, _payload()[start:], start)
    stream = start + PIECE_HEADER_BYTES
    first = _payload()[stream : stream + 8].hex(" ")
    return f"{table}| {stream:#x} | `{first}` … | | the zlib stream |\n"


def version_header(name: str) -> str:
    """Returns the header that an entity's raw bytes begin with."""
    return _table(VersionHeader, VERSIONED, dump(T6_CARD).raw(name), 0)


def sizes() -> str:
    """Returns what stands where in the payload."""
    data = HEADER_BYTES + MAX_ENTITY * ENTITY_HEADER_BYTES
    rows = (
        ("0x0", HEADER_BYTES, "the cudbg header"),
        (f"{HEADER_BYTES:#x}", data - HEADER_BYTES, f"{MAX_ENTITY} entity headers, by number"),
        (f"{data:#x}", DUMP_BYTES, "room for the entities' data, in the order of collection"),
    )
    head = "| offset in the payload | bytes | |\n| ---: | ---: | --- |\n"
    return head + "".join(f"| {at} | {size:,} | {what} |\n" for at, size, what in rows)


def entity_map() -> str:
    """Returns where the data of each entity stand."""
    found = dump(T6_CARD)
    rows = [
        f"| [{each.name}](entities.md#{each.name.lower()}) | {each.number} "
        f"| {entity_header_offset(each.number):#x} | {each.start:#x} | {each.size:,} "
        f"| {each.padding} | {found.size(each.name) if each.good else 0:,} | {each.status} |\n"
        for each in found.entities
    ]
    head = (
        "| entity | number | its header | its data | stored bytes | of them padding | raw bytes "
        "| status |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    )
    return f"{head}{''.join(rows)}\nThe data end at {found.end:#x}.\n"
