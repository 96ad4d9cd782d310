"""CIM_PIF_LA: what the embedded processor exchanged with the other blocks."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip, Field
from vmcoredd.chip.cim import PIF_LA_ENTRIES, PIF_LA_WORDS
from vmcoredd.chip.layout import LittleStruct, sizeof, u32
from vmcoredd.chip.register import parse_fields
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.interface_la import frozen, pointer_rows, read_pairs
from vmcoredd.hw.io import Io

_WORDS = PIF_LA_ENTRIES * PIF_LA_WORDS
_ENTRY_POINTERS = 8
# Positions: cxgb4_debugfs.c, cim_pif_la_show(); an entry's first word is its lowest.
_REQUEST = parse_fields("Cntl:182:8 ID:176:6 DataBE:160:16 Addr:128:32 Data:0:128")
_RESPONSE = parse_fields("Cntl:134:8 ID:128:6 Data:0:128")


class Layout(LittleStruct):
    """struct cudbg_cim_pif_la with its data."""

    _fields_ = (("size", u32), ("req", u32 * _WORDS), ("rsp", u32 * _WORDS))


@entity(45, "CIM_PIF_LA")
class CimPifLa(Entity):
    """cudbg_collect_cim_pif_la()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        layout, r = Layout.from_buffer(ctx.area(sizeof(Layout))), chip.r
        layout.size = PIF_LA_ENTRIES
        with frozen(io, chip):
            status = io.read(r.CIM_DEBUGSTS)
            out = _pointers(r.CIM_DEBUGSTS.get(status, "POLADbgWrPtr"))
            in_ = _pointers(r.CIM_DEBUGSTS.get(status, "PILADbgWrPtr"))
            rows = pointer_rows(chip, out, in_)
            data = r.CIM_PO_LA_DEBUGDATA, r.CIM_PI_LA_DEBUGDATA
            layout.req, layout.rsp = read_pairs(io, r.CIM_DEBUGCFG, rows, *data)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        tables = [
            Table(title, [Column(f.name, f"x{(f.width + 3) // 4}") for f in fields], list(rows))
            for title, fields, rows in (
                ("requests, oldest first", _REQUEST, _rows(layout.req, _REQUEST)),
                ("responses, oldest first", _RESPONSE, _rows(layout.rsp, _RESPONSE)),
            )
        ]
        return Decoded(tables)


def _pointers(first: int) -> list[int]:
    """Six words of every entry of eight pointers; only where an entry begins is it wrapped."""
    entries = [(first + _ENTRY_POINTERS * i) & 0x1FF for i in range(PIF_LA_ENTRIES)]
    return [entry + word for entry in entries for word in range(PIF_LA_WORDS)]


def _rows(words: list[int], fields: tuple[Field, ...]) -> Iterator[list[Value]]:
    for at in range(0, _WORDS, PIF_LA_WORDS):
        number = sum(word << 32 * i for i, word in enumerate(words[at : at + PIF_LA_WORDS]))
        yield [field.get(number) for field in fields]
