"""RSS_VF_CONF: how each virtual function's packets are hashed."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.io import Each, Io, Op, Read, Write

_RECORD = 8  # struct cudbg_rss_vf_conf: VFL, then VFH


@entity(25, "RSS_VF_CONF")
class RssVfConf(Entity):
    """cudbg_collect_rss_vf_config().

    The driver reads TP_RSS_CONFIG_VRT before each request; what it writes back differs in the
    index alone, so the first word read serves for all.
    """

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(_RECORD * chip.tp.rss_vfs), chip.r
        request = r.TP_RSS_CONFIG_VRT
        base = io.read(request)
        base &= ~request.mask("VfRdRg", "VfWrEn", "KeyWrEn", "VfWrAddr")
        base |= request.of(VfRdEn=1)
        step = request.of(VfWrAddr=1)
        load: list[Op] = [
            Write(r.TP_PIO_ADDR, r.TP_RSS_VFL_CONFIG),
            Read(r.TP_PIO_DATA),
            Write(r.TP_PIO_ADDR, r.TP_RSS_VFH_CONFIG),
            Read(r.TP_PIO_DATA),
        ]
        further: list[Op] = [Read(request, keep=False), Write(request, Each(base + step, step))]
        io.run([Write(request, base), *load], out=area[:_RECORD])
        io.run([*further, *load], chip.tp.rss_vfs - 1, area[_RECORD:])

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        words = u32s(self.need(blob, _RECORD * chip.tp.rss_vfs))
        names = [field.name for field in chip.r.TP_RSS_VFH_CONFIG.fields]
        columns = [Column("VF", "d"), Column("KEYSCRAMBLE", "x8")]
        columns += [Column(name, "d") for name in names]
        return Decoded([Table("virtual functions", columns, Lazy(lambda: _rows(words, chip)))])


def _rows(words: tuple[int, ...], chip: Chip) -> Iterator[list[Value]]:
    for vf, (vfl, vfh) in enumerate(zip(words[::2], words[1::2], strict=True)):
        yield [vf, vfl, *chip.r.TP_RSS_VFH_CONFIG.decode(vfh).values()]
