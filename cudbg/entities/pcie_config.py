"""PCIE_CONFIG: the adapter's PCI configuration space, as seen from inside."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.chip.pci import CONFIG_DUMP_WORDS
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.named import COLUMNS, named
from vmcoredd.hw.io import Cell, Io, Op, Read, Write


@entity(55, "PCIE_CONFIG")
class PcieConfig(Entity):
    """cudbg_collect_pcie_config()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(4 * CONFIG_DUMP_WORDS), chip.r
        request = r.PCIE_CFG_SPACE_REQ
        base = request.of(Enable=1, PF=ctx.device.pf)
        offsets = _offsets(chip)
        ops: list[Op] = [
            Write(request, Cell(plus=base)),
            Read(r.PCIE_CFG_SPACE_DATA),
            Write(request, 0),
        ]
        io.run(ops, offsets, area[: 4 * len(offsets)])

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, 4 * CONFIG_DUMP_WORDS))
        rows = [
            [offset, *named(chip, offset, word, "pcie_config")]
            for offset, word in zip(_offsets(chip), words, strict=False)
        ]
        columns = [Column("offset", "x3"), *COLUMNS]
        return Decoded([Table("configuration space", columns, rows)])


def _offsets(chip: Chip) -> list[int]:
    return [start + 4 * i for start, words in chip.ranges("pcie_config") for i in range(words)]
