"""TP's tables, each behind one register: MTUs, congestion control, pacing, RSS.

MTUs and congestion control have the values that the driver loads (t4_hw.c, init_cong_ctrl() and
t4_load_mtus(); cxgb4_main.c, the default MTUs).
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.tp import CCTRL_TABLE, CONGESTION_WINDOWS, MTU_TABLE, PACE_TABLE, RSS_REQUEST
from vmcoredd.chip.tp import RequestTable as Layout
from vmcoredd.emu.firmware.rss import BOOT_HASHING
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import Space

HALF_WORD = 0xFFFF
INCREMENT_BITS = 13
"""A congestion control row holds beta above the increment."""
MTUS = (88, 256, 512, 576, 808, 1024, 1280, 1488, 1500, 2002, 2048, 4096, 4352, 8192, 9000, 9600)
# fmt: off
PACKETS = (
    2, 6, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1281, 1792, 2560, 3584,
    5120, 7168, 10240, 14336, 20480, 28672, 40960, 57344, 81920, 114688, 163840, 229376,
)
"""Average packets in each window."""
ALPHA = (
    1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 17, 21, 25, 30, 35, 45, 60, 80, 100,
    200, 300, 400, 500,
)
"""Growth of each window."""
BETA = (
    0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 6, 6, 7, 7,
)
"""Decrease of each window, as a logarithm."""
# fmt: on
HEADERS_BYTES = 40
MIN_INCREMENT = 2


class RequestTables(Model):
    """Writing a row with all ones above it reads the row; other values above it are stored."""

    def make(self) -> None:
        self.mtus = self._table(MTU_TABLE)
        self.increments = self._table(CCTRL_TABLE)
        self.paces = self._table(PACE_TABLE)

    def _table(self, layout: Layout) -> Space:
        return self.spaces.table(layout.register.lower(), rows=layout.rows)

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
        self.lookups.request(register, table, tag=tag, mask=mask, shift=shift, keep=keep)

    def _fill(self) -> None:
        mtu = self.r.TP_MTU_TABLE
        self.mtus.fill(0, [mtu.of(MTUWidth=_mtu_width(n), MTUValue=n) for n in MTUS])
        if self.scenario.crashed:
            self.spaces.set(mtu, self.mtus.words[-1])  # the last row that the driver wrote
        windows = range(CONGESTION_WINDOWS)
        self.increments.fill(0, [_row(mtu, window) for mtu in MTUS for window in windows])
        random = self.scenario.activity("pace")
        self.paces.fill(0, [random.choice((0, 50, 100, 500, 1000)) for _ in range(PACE_TABLE.rows)])


def _mtu_width(mtu: int) -> int:
    """Returns the logarithm of an MTU, rounded."""
    log2 = mtu.bit_length()
    return log2 if mtu & (1 << log2 >> 2) else log2 - 1


def _increment(mtu: int, window: int) -> int:
    """Returns the additive increment of a window, in bytes."""
    return max((mtu - HEADERS_BYTES) * ALPHA[window] // PACKETS[window], MIN_INCREMENT)


def _row(mtu: int, window: int) -> int:
    return BETA[window] << INCREMENT_BITS | _increment(mtu, window)


class RssTable(Model):
    """Two queue ids in each row; a row that was read has its valid bit set."""

    def make(self) -> None:
        self.rows = self.spaces.table("tp_rss_lkp_table", rows=self.chip.tp.rss_rows)

    @property
    def table(self) -> Register:
        """The register that gives access to the table."""
        return self.r.TP_RSS_LKP_TABLE

    def wire(self) -> None:
        queues = self.table.mask("LkpTblQueue1", "LkpTblQueue0")
        rows, shift = self.rows.count, self.table.field("LkpTblRowIdx").shift
        self.lookups.request(
            self.table, self.rows, tag=RSS_REQUEST, mask=rows - 1, shift=shift, keep=queues
        )
        self.lookups.done(self.table, set_=self.table.mask("LkpTblRowVld"))
        self.spaces.plain(
            self.r.TP_RSS_CONFIG,
            self.r.TP_RSS_CONFIG.of(**BOOT_HASHING),
        )
        entries = self.scenario.queues.rss_entries
        pairs = zip(entries[::2], entries[1::2], strict=True)
        self.rows.fill(0, [self.table.of(LkpTblQueue0=q, LkpTblQueue1=p) for q, p in pairs])

    @fault("rss-row-not-valid", "The RSS table never says that a row is valid.")
    def invalid(self) -> None:
        self.lookups.hang(self.table, clear=self.table.mask("LkpTblRowVld"))


class RssVfs(Model):
    """A command in CONFIG_VRT copies a virtual function's two words from or to space tp_pio."""

    def make(self) -> None:
        self.vfs = self.spaces.table("tp_rss_vfs", rows=self.chip.tp.rss_vfs, width=2)

    def wire(self) -> None:
        request, words = self.r.TP_RSS_CONFIG_VRT, self.r.TP_RSS_VFL_CONFIG
        self._fill()
        vf = Index.field(request, "VfWrAddr")
        read, write = When.set(request, "VfRdEn"), When.set(request, "VfWrEn")
        self.lookups.add(request, self.vfs, vf, words, width=2, when=read)
        self.lookups.add(request, self.vfs, vf, words, width=2, when=write, store=True)

    def _fill(self) -> None:
        """Sets hashing by addresses and ports with a key per function, as firmware leaves it."""
        random, config = self.scenario.random("rss vf"), self.r.TP_RSS_VFH_CONFIG
        for vf in range(self.chip.tp.rss_vfs):
            hashing = config.of(
                VFIP6FOURTUPEN=1, VFIP4FOURTUPEN=1, VFIP6TWOTUPEN=1, VFIP4TWOTUPEN=1
            )
            word = hashing | config.of(VFCHNEN=1, VFLKPIDX=vf & 0xFF, KEYINDEX=vf & 0xF)
            self.vfs.fill(2 * vf, [random.getrandbits(32), word])
