"""LE_TCAM: the lookup engine's entries: connections, servers, filters, local addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, sizeof
from vmcoredd.chip.le import VNIC_ID, VNIC_ID_MODE, LookupEntry, clip_address, filter_fields
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Lazy, Table, Text, Value
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Code, WrongSize
from vmcoredd.cudbg.le_table import RECORD_BYTES, Header, Record, TableReader, read_header
from vmcoredd.cudbg.remains import FILLED_MOST
from vmcoredd.cudbg.words import words_of_space
from vmcoredd.hw.io import Io
from vmcoredd.plural import counted


@entity(59, "LE_TCAM")
class LeTcam(Entity):
    """Connections, servers, filters and local addresses (cudbg_collect_le_tcam()).

    A TID that cannot be read ends the list with a warning. With more than 49,568 TIDs, the kernel's
    compression overwrites the last ones; this collector does not.
    """

    momentary = Kind.WORK
    entry_bytes, entries_from, entry_reads = RECORD_BYTES, sizeof(Header), RECORD_BYTES - WORD_BYTES
    all_zero = (
        "NOT MEASURED: All {count} records are 0, and so is the number of TIDs: none was read."
    )
    layouts = (Header, Record)
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

    explained_by = ("TP_INDIRECT", "TID_INFO")

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return self.decode_with(blob, {}, chip)

    def decode_with(self, blob: Bytes, others: Mapping[str, Bytes], chip: Chip) -> Decoded:
        size = sizeof(Header)
        if len(blob) < size:
            raise WrongSize(self.name, size, len(blob))
        header = Header.from_bytes(blob[:size])
        whole = size + RECORD_BYTES * header.max_tid
        is_whole = len(blob) >= whole and not (len(blob) - size) % RECORD_BYTES
        if not is_whole and whole <= FILLED_MOST:
            raise WrongSize(self.name, whole, len(blob))
        words = words_of_space(others, "TP_INDIRECT", "tp_pio", chip)
        ingress = words.get(chip.r.TP_INGRESS_CONFIG)
        mode = _mode(words.get(chip.r.TP_VLAN_PRI_MAP), ingress, chip)
        hashes = _hashes(others, chip)
        rows = Lazy(lambda: _entries(blob, header, chip, mode, hashes=hashes is not False))
        return Decoded(
            [
                *([] if is_whole else [_too_few(header, blob)]),
                Fields("where regions begin", list(_starts(header, chip, hashes))),
                Text("how entries are decoded", list(_caveats(mode))),
                Table("entries in use (order of addresses and ports: assumed)", _COLUMNS, rows),
            ]
        )


_COLUMNS = (
    Column("TID", "d"),
    Column("region"),
    Column("local address"),
    Column("local port", "d"),
    Column("foreign address"),
    Column("foreign port", "d"),
    Column("filter tuple", "x"),
    Column("fields"),
)
_HASH = "hash"
_MEMBERS = {
    "filter_start": "filter_start",
    "server_start": "server_start",
    "clip_start": "clip_start",
    "routing_start": "routing_start",
    "hash_base": "tid_hash_base",
}
"""The member of the header for each start register of `chip.le`."""


def _too_few(header: Header, blob: Bytes) -> Text:
    """Says that the header tells of far more records than there are."""
    held = (len(blob) - sizeof(Header)) // RECORD_BYTES
    line = f"max_tid tells {counted(header.max_tid, 'record')}; {held:,} are in the dump"
    return Text("fewer records than max_tid tells", [f"{line}: those that are valid are shown."])


def _hashes(others: Mapping[str, Bytes], chip: Chip) -> bool | None:
    """Returns whether the engine has a hash table: HASHEN of LE_DB_CONFIG, which TID_INFO holds;
    None if that is not known."""
    tid_info = others.get("TID_INFO")
    if tid_info is None or len(tid_info) < sizeof(TidLayout):
        return None
    config = TidLayout.from_bytes(tid_info[: sizeof(TidLayout)]).le_db_conf
    return None if config == U32_MASK else bool(chip.r.LE_DB_CONFIG.get(config, "HASHEN"))


_IF_HASHING = {
    True: "",
    False: "; not used: HASHEN of LE_DB_CONFIG is 0",
    None: "; if hashing is on, which the dump does not tell",
}


def _starts(header: Header, chip: Chip, hashes: bool | None) -> Iterator[Item]:
    """Yields the header with each start in TIDs, and the region that the register means."""
    le, r = chip.le, chip.r
    regions = {r[register]: name for name, register in le.regions.items() if register}
    for register, member in _MEMBERS.items():
        value, region = getattr(header, member), regions[r[getattr(le, register)]]
        unit = "" if le.start_step == 1 else f", in units of 1/{le.start_step} TID"
        used = _IF_HASHING[hashes] if region == _HASH else ""
        meaning = f"{region} region: TID {value // le.start_step}{unit}{used}"
        yield Item(member, value, meaning, "d")
    yield Item("max_tid", header.max_tid, "TIDs that were read", "d")


class _Mode(NamedTuple):
    """What filters can match, as far as the dump tells."""

    bits: int
    """TP_VLAN_PRI_MAP."""
    interfaces: int | None
    """VNIC of TP_INGRESS_CONFIG: vnic_id is an interface, not an outer VLAN tag."""


def _mode(bits: int | None, ingress: int | None, chip: Chip) -> _Mode | None:
    if bits is None:
        return None
    return _Mode(bits, None if ingress is None else chip.r.TP_INGRESS_CONFIG.get(ingress, "VNIC"))


def _caveats(mode: _Mode | None) -> Iterator[str]:
    """Says what the entries' columns rest on."""
    yield "Which word holds which address and port is assumed; the vendor's viewer shows words."
    if mode is None:
        yield "Fields of filter tuples depend on TP_VLAN_PRI_MAP, which the dump does not tell."
        return
    names = " ".join(field.name for field in filter_fields(mode.bits))
    selects = f"as TP_VLAN_PRI_MAP {mode.bits:#x} selects:"
    yield f"Filter tuples have these fields, lowest first, {selects}"
    yield names or "none"
    if mode.bits & VNIC_ID_MODE and mode.interfaces is not None:
        meaning = "the id of a virtual interface" if mode.interfaces else "an outer VLAN tag"
        yield f"vnic_id is {meaning}: VNIC of TP_INGRESS_CONFIG is {mode.interfaces}"


def _entries(
    blob: Bytes, header: Header, chip: Chip, mode: _Mode | None, *, hashes: bool
) -> Iterator[list[Value]]:
    regions = [one for one in _regions(header, chip) if hashes or one[1] != _HASH]
    for record in _records(blob):
        if any(record.data):
            region = [name for start, name in regions if start <= record.tid][-1]
            yield [record.tid, region, *_entry(list(record.data), region, mode)]


def _regions(header: Header, chip: Chip) -> list[tuple[int, str]]:
    """Returns each region's first TID and name, by TID; the header has the start registers."""
    le, r = chip.le, chip.r
    shown = {r[getattr(le, name)]: getattr(header, member) for name, member in _MEMBERS.items()}
    starts = [
        (shown[r[register]] // le.start_step if register else 0, name)
        for name, register in le.regions.items()
    ]
    return sorted(starts, key=lambda region: region[0])


def _records(blob: Bytes) -> Iterator[Record]:
    """Yields the records that were read; zeros for TIDs inside other entries follow them."""
    for at in range(sizeof(Header), len(blob) - RECORD_BYTES + 1, RECORD_BYTES):
        record = Record.from_bytes(blob[at : at + RECORD_BYTES])
        if not record.dbig_rsp_stat & 1:
            return
        if record.data[-1] != U32_MASK:  # else it was not read to its end
            yield record


def _entry(words: list[int], region: str, mode: _Mode | None) -> list[Value]:
    if region == "CLIP":
        return [_address(clip_address(words)), None, "", None, None, ""]
    found = LookupEntry.of_words(words)
    return [
        _address(found.local),
        found.local_port,
        _address(found.foreign),
        found.foreign_port,
        found.filter_tuple,
        "" if mode is None else _filter_tuple(found.filter_tuple, mode),
    ]


def _filter_tuple(value: int, mode: _Mode) -> str:
    """Decodes a tuple, lowest field first."""
    values = ((field.name, field.get(value)) for field in filter_fields(mode.bits))
    return " ".join(f"{name}={_field(name, number, mode)}" for name, number in values if number)


def _field(name: str, number: int, mode: _Mode) -> str:
    if name != "vnic_id" or not mode.interfaces:
        return f"{number:#x}"
    _, function, interface = (field.get(number) for field in VNIC_ID)
    return f"{number:#x} (PF{function}, interface {interface})"


def _address(packed: bytes) -> str:
    """Returns an address in the usual notation; all zero matches any."""
    return str(ipaddress.ip_address(packed))
