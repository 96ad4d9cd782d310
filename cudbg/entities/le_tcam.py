"""LE_TCAM: the lookup engine's entries: connections, servers, filters, local addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.le import FILTER_TUPLE, LookupEntry, clip_address
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, DumpFormatError, UnknownFormat
from vmcoredd.cudbg.le_table import RECORD_BYTES, Header, Record, TableReader, read_header
from vmcoredd.hw.io import Io


@entity(59, "LE_TCAM")
class LeTcam(Entity):
    """Connections, servers, filters and local addresses (cudbg_collect_le_tcam()).

    A TID that cannot be read ends the list with a warning. With more than 49,568 TIDs, the kernel's
    compression overwrites the last ones; this collector does not.
    """

    raw_bytes = None
    accesses = None

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        header = read_header(io, chip)
        area = ctx.area(sizeof(Header) + RECORD_BYTES * header.max_tid)
        end = TableReader(io, chip, header).read(area[sizeof(Header) :])
        if end < header.max_tid:
            header.max_tid = end
            ctx.warn(Code.PARTIAL_DATA)
        area[: sizeof(Header)] = bytes(header)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        size = sizeof(Header)
        if len(blob) < size or (len(blob) - size) % RECORD_BYTES:
            raise UnknownFormat(f"{self.name}: {len(blob)} bytes are not a header and records")
        header = Header.from_bytes(blob[:size])
        if header.max_tid > (len(blob) - size) // RECORD_BYTES:
            raise DumpFormatError(self.name, size + RECORD_BYTES * header.max_tid, len(blob))
        return Decoded(_parts(blob, header, chip))


_COLUMNS = (
    Column("TID", "d"),
    Column("region"),
    Column("local address"),
    Column("local port", "d"),
    Column("foreign address"),
    Column("foreign port", "d"),
    Column("filter tuple", "x"),
    Column("that is"),
)


def _parts(blob: Bytes, header: Header, chip: Chip) -> list[Fields | Table]:
    starts = [Item(name, value, form="d") for name, value in header.items()]
    rows = Lazy(lambda: _entries(blob, header, chip))
    return [
        Fields("where regions begin, as the registers say", starts),
        Table("entries in use", _COLUMNS, rows),
    ]


def _entries(blob: Bytes, header: Header, chip: Chip) -> Iterator[list[Value]]:
    regions = _regions(header, chip)
    for record in _records(blob):
        if any(record.data):
            region = [name for start, name in regions if start <= record.tid][-1]
            yield [record.tid, region, *_entry(list(record.data), region)]


def _regions(header: Header, chip: Chip) -> list[tuple[int, str]]:
    """Returns each region's first TID and name, by TID; the header has the start registers."""
    le, r = chip.le, chip.r
    shown = {
        r[le.filter_start]: header.filter_start,
        r[le.server_start]: header.server_start,
        r[le.clip_start]: header.clip_start,
        r[le.routing_start]: header.routing_start,
        r[le.hash_base]: header.tid_hash_base,
    }
    starts = [
        (shown[r[register]] // le.start_step if register else 0, name)
        for name, register in le.regions.items()
    ]
    return sorted(starts, key=lambda region: region[0])


def _records(blob: Bytes) -> Iterator[Record]:
    """Yields the records that were read; zeros for TIDs inside other entries follow them."""
    for at in range(sizeof(Header), len(blob), RECORD_BYTES):
        record = Record.from_bytes(blob[at : at + RECORD_BYTES])
        if not record.dbig_rsp_stat & 1:
            return
        yield record


def _entry(words: list[int], region: str) -> list[Value]:
    if region == "CLIP":
        return [_address(clip_address(words)), None, "", None, None, ""]
    found = LookupEntry.of_words(words)
    return [
        _address(found.local),
        found.local_port,
        _address(found.foreign),
        found.foreign_port,
        found.filter_tuple,
        _filter_tuple(found.filter_tuple),
    ]


def _filter_tuple(value: int) -> str:
    """Decodes a tuple of the default filter mode."""
    values = ((field.name, field.get(value)) for field in FILTER_TUPLE)
    return " ".join(f"{name}={number:#x}" for name, number in values if number)


def _address(packed: bytes) -> str:
    """Returns an address in the usual notation; all zero matches any."""
    return str(ipaddress.ip_address(packed))
