"""TP's tables behind one address each: MTUs, congestion control, pacing, RSS."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.tp import CCTRL_TABLE, CONGESTION_WINDOWS, MTU_TABLE, PACE_TABLE, RSS_REQUEST
from vmcoredd.chip.tp import RequestTable as Layout
from vmcoredd.emu.ports import Index, When
from vmcoredd.emu.scenario import tcp
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.space import Space

HALF_WORD = 0xFFFF
INCREMENT_BITS = 13
"""A congestion control row: beta above, increment below."""


class RequestTables(Model):
    """Writing all ones above a row asks for it; anything else above stores it."""

    def make(self) -> None:
        self.mtus = self._table(MTU_TABLE)
        self.increments = self._table(CCTRL_TABLE)
        self.paces = self._table(PACE_TABLE)

    def _table(self, layout: Layout) -> Space:
        return self.words.table(layout.register.lower(), rows=layout.rows)

    def wire(self) -> None:
        mtu = self.r.TP_MTU_TABLE
        values = mtu.mask("MTUWidth", "MTUValue")
        self._request(MTU_TABLE, self.mtus, shift=mtu.field("MTUIndex").shift, keep=values)
        self._request(CCTRL_TABLE, self.increments, shift=16, keep=HALF_WORD)
        self._request(PACE_TABLE, self.paces, shift=16, keep=HALF_WORD)
        self._fill()

    def _request(self, layout: Layout, table: Space, *, shift: int, keep: int) -> None:
        register, mask = self.r[layout.register], layout.rows - 1
        tag = layout.prefix
        self.ports.request(register, table, tag=tag, mask=mask, shift=shift, keep=keep)

    def _fill(self) -> None:
        mtu = self.r.TP_MTU_TABLE
        self.mtus.fill(0, [mtu.of(MTUWidth=tcp.mtu_width(n), MTUValue=n) for n in tcp.MTUS])
        windows = range(CONGESTION_WINDOWS)
        self.increments.fill(0, [_row(mtu, window) for mtu in tcp.MTUS for window in windows])
        random = self.scenario.random("pace")
        self.paces.fill(0, [random.choice((0, 50, 100, 500, 1000)) for _ in range(PACE_TABLE.rows)])


def _row(mtu: int, window: int) -> int:
    return tcp.BETA[window] << INCREMENT_BITS | tcp.increment(mtu, window)


class RssTable(Model):
    """Two queue ids in each row; a row that is read says that it is valid."""

    def make(self) -> None:
        self.rows = self.words.table("tp_rss_lkp_table", rows=self.chip.rss_rows)

    @property
    def table(self) -> Register:
        """The register that the table stands behind."""
        return self.r.TP_RSS_LKP_TABLE

    def wire(self) -> None:
        queues = self.table.mask("LkpTblQueue1", "LkpTblQueue0")
        rows, shift = self.rows.count, self.table.field("LkpTblRowIdx").shift
        self.ports.request(
            self.table, self.rows, tag=RSS_REQUEST, mask=rows - 1, shift=shift, keep=queues
        )
        self.ports.done(self.table, set_=self.table.mask("LkpTblRowVld"))
        entries = self.scenario.queues.rss_entries
        pairs = zip(entries[::2], entries[1::2], strict=True)
        self.rows.fill(0, [self.table.of(LkpTblQueue0=q, LkpTblQueue1=p) for q, p in pairs])

    @fault("rss-row-not-valid", "The RSS table never says that a row is valid.")
    def invalid(self) -> None:
        self.ports.stick(self.table, clear=self.table.mask("LkpTblRowVld"))


class RssVfs(Model):
    """A request in CONFIG_VRT copies a virtual function's two words to registers of tp_pio."""

    def make(self) -> None:
        self.vfs = self.words.table("tp_rss_vfs", rows=self.chip.rss_vfs, width=2)

    def wire(self) -> None:
        request, words = self.r.TP_RSS_CONFIG_VRT, self.r.TP_RSS_VFL_CONFIG
        self._fill()
        vf = Index.field(request, "VfWrAddr")
        read, write = When.set(request, "VfRdEn"), When.set(request, "VfWrEn")
        self.ports.add(request, self.vfs, vf, words, width=2, when=read)
        self.ports.add(request, self.vfs, vf, words, width=2, when=write, store=True)

    def _fill(self) -> None:
        """Hashing as the firmware leaves it: by addresses and ports, each function its own key."""
        random, config = self.scenario.random("rss vf"), self.r.TP_RSS_VFH_CONFIG
        for vf in range(self.chip.rss_vfs):
            hashing = config.of(
                VFIP6FOURTUPEN=1, VFIP4FOURTUPEN=1, VFIP6TWOTUPEN=1, VFIP4TWOTUPEN=1
            )
            word = hashing | config.of(VFCHNEN=1, VFLKPIDX=vf & 0xFF, KEYINDEX=vf & 0xF)
            self.vfs.fill(2 * vf, [random.getrandbits(32), word])
