"""CIM_MA_LA: what the embedded processor asked of the adapter's memory."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.cim import MA_LA_ENTRIES, MA_LA_WORDS
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.interface_la import frozen, pointer_rows, read_pairs
from vmcoredd.hw.io import Io

_ENTRY_POINTERS = 8
_WORDS = MA_LA_ENTRIES * MA_LA_WORDS
_SIZE = 2 * _WORDS * 4


@entity(4, "CIM_MA_LA")
class CimMaLa(Entity):
    """cudbg_collect_cim_ma_la().

    The driver forgets to count in words: it stores responses from byte 320 on, into the room of
    the requests, and most are overwritten by the requests that it reads later. What remains:
    320 requests, then the last 80 responses, the rest zero.
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(_SIZE).cast("I"), chip.r
        pointers = [
            _ENTRY_POINTERS * i + j for i in range(MA_LA_ENTRIES) for j in range(MA_LA_WORDS)
        ]
        rows = pointer_rows(chip, pointers, pointers)
        with frozen(io, chip):
            data = r.CIM_PO_LA_MADEBUGDATA, r.CIM_PI_LA_MADEBUGDATA
            requests, responses = read_pairs(io, r.CIM_DEBUGCFG, rows, *data)
        area[_WORDS // 4 : _WORDS // 4 + _WORDS] = responses
        area[:_WORDS] = requests

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, _SIZE))
        columns = [Column("request", "x34")]
        rows = [[_number(words[i : i + MA_LA_WORDS])] for i in range(0, _WORDS, MA_LA_WORDS)]
        kept = words[_WORDS : _WORDS + _WORDS // 4]
        first = _WORDS - len(kept)
        responses = [[first + i, word] for i, word in enumerate(kept)]
        return Decoded(
            [
                Table("requests", columns, rows),
                Table(
                    "the last responses", [Column("word", "d"), Column("value", "x8")], responses
                ),
            ]
        )


def _number(words: tuple[int, ...]) -> int:
    """A line's words, the first the lowest (cim_ma_la_show())."""
    return sum(word << 32 * i for i, word in enumerate(words))
