"""The logic analysers of CIM, TP, ULP_RX and ULP_TX, which record traces inside their blocks."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.tp import (
    LA_ENTRIES,
    ULPRX_TRACE_WORDS,
    ULPRX_TRACES,
    ULPTX_ASIC_READS,
    ULPTX_INSTANCES,
    ULPTX_READS,
)
from vmcoredd.emu.lookup import Index, When
from vmcoredd.emu.silicon.model import Model, fault, writes
from vmcoredd.emu.spaces import Space

CIM_POINTERS = 1 << 12
"""Values of UpDbgLaRdPtr."""
CIM_INTERFACE_WORDS = 512
"""Values of POLADbgRdPtr and PILADbgRdPtr."""
TP_MODE_SINGLE = 1
ASIC_WORDS = 5
ASIC_STROBE = 1


class CimProcessorLa(Model):
    """Behind the CIM's own registers: writing a read pointer with RdEn fetches its word.

    Writes do not change the write pointer, which belongs to the hardware.
    """

    def make(self) -> None:
        self.trace = self.spaces.table("cim_la", rows=CIM_POINTERS)

    @property
    def config(self) -> Register:
        """The register that holds the pointers."""
        return self.r.UP_UP_DBG_LA_CFG

    def wire(self) -> None:
        random = self.scenario.random("cim_la")
        self.trace.fill(0, [random.getrandbits(32) for _ in range(CIM_POINTERS)])
        config = self.config
        self.lookups.add(
            config,
            self.trace,
            Index.field(config, "UpDbgLaRdPtr"),
            self.r.UP_UP_DBG_LA_DATA,
            when=When.set(config, "UpDbgLaRdEn"),
        )
        rows = CIM_POINTERS >> 4
        pointer = config.of(UpDbgLaWrPtr=random.randrange(rows) << 4)
        self.lookups.reads_as(config, clear=config.mask("UpDbgLaRdEn", "UpDbgLaWrPtr"))
        self.lookups.reads_as(config, set_=pointer)
        self.spaces.set(config, pointer)

    @fault("cim-la-hangs", "The processor's logic analyser never fetches a word: CIM_LA fails.")
    def hang(self) -> None:
        self.lookups.hang(self.config, set_=self.config.mask("UpDbgLaRdEn"), now=False)

    @fault("cim-la-runs", "The processor's logic analyser runs: the dump stops and restarts it.")
    def run(self) -> None:
        word = self.spaces.get(self.config)
        self.spaces.set(self.config, word | self.config.mask("UpDbgLaEn"))


class CimInterfaceLa(Model):
    """Traces of the processor's outbound (PO) and inbound (PI) interfaces, with memory parts."""

    def make(self) -> None:
        names = ("po_la", "pi_la", "po_la_ma", "pi_la_ma")
        self.traces = {
            name: self.spaces.table(f"cim_{name}", rows=CIM_INTERFACE_WORDS) for name in names
        }

    def wire(self) -> None:
        r = self.r
        self._connect(r.CIM_PO_LA_DEBUGDATA, self.traces["po_la"], "POLADbgRdPtr")
        self._connect(r.CIM_PI_LA_DEBUGDATA, self.traces["pi_la"], "PILADbgRdPtr")
        self._connect(r.CIM_PO_LA_MADEBUGDATA, self.traces["po_la_ma"], "POLADbgRdPtr")
        self._connect(r.CIM_PI_LA_MADEBUGDATA, self.traces["pi_la_ma"], "PILADbgRdPtr")
        entry = 8 * self.scenario.random("cim_debugsts").randrange(CIM_INTERFACE_WORDS // 8)
        status = r.CIM_DEBUGSTS
        self.spaces.read_only(status, status.of(POLADbgWrPtr=entry, PILADbgWrPtr=entry))

    def _connect(self, data: Register, trace: Space, pointer: str) -> None:
        random = self.scenario.random(trace.name)
        trace.fill(0, [random.getrandbits(32) for _ in range(CIM_INTERFACE_WORDS)])
        config = self.r.CIM_DEBUGCFG
        self.lookups.add(config, trace, Index.field(config, pointer), data)

    @fault(
        "cim-interface-la-runs", "The interface analysers run: the dump stops and restarts them."
    )
    def run(self) -> None:
        config = self.r.CIM_DEBUGCFG
        self.spaces.set(config, self.spaces.get(config) | config.mask("LADbgEn"))


class TpLa(Model):
    """128 words of 64 bits: writing CONFIG shows the word at its read pointer.

    Writes do not change the write pointer, which belongs to the hardware.
    """

    def make(self) -> None:
        self.trace = self.spaces.table("tp_la", rows=LA_ENTRIES, width=2)

    @property
    def config(self) -> Register:
        """The register that holds the pointers, mode and state."""
        return self.r.TP_DBG_LA_CONFIG

    def wire(self) -> None:
        random, config = self.scenario.activity("tp_la"), self.config
        self.trace.fill(0, [random.getrandbits(32) for _ in range(2 * LA_ENTRIES)])
        row = Index.field(config, "DbgLaRptr")
        self.lookups.add(config, self.trace, row, self.r.TP_DBG_LA_DATAL, width=2)
        pointer = config.of(DbgLaWptr=random.randrange(LA_ENTRIES), DbgLaWhlf=1)
        self.lookups.reads_as(config, clear=config.mask("DbgLaWptr", "DbgLaWhlf"))
        self.lookups.reads_as(config, set_=pointer)
        self.spaces.set(config, pointer | config.of(DbgLaMode=TP_MODE_SINGLE))

    @fault("tp-la-runs", "TP's logic analyser runs: the dump stops and restarts it.")
    def run(self) -> None:
        self.spaces.set(self.config, self.spaces.get(self.config) | self.config.mask("DbgLaEnable"))


class UlpRxLa(Model):
    """Eight traces of 512 words. CTL selects a trace, RDPTR a word; reading RDDATA advances it."""

    def make(self) -> None:
        self.trace = self.spaces.table("ulp_rx_la", rows=ULPRX_TRACES * ULPRX_TRACE_WORDS)
        self.wrptr = self.spaces.table("ulp_rx_la_wrptr", rows=ULPRX_TRACES)

    def wire(self) -> None:
        r = self.r
        self.trace.fill(0, self._words())
        wrptr = self.scenario.activity("ulp_rx_la pointer").randrange(ULPRX_TRACE_WORDS)
        self.wrptr.fill(0, [wrptr] * ULPRX_TRACES)
        trace, word = Index(r.ULP_RX_LA_CTL, 7), Index(r.ULP_RX_LA_RDPTR, ULPRX_TRACE_WORDS - 1)
        rows = [word, trace._replace(scale=ULPRX_TRACE_WORDS)]
        self.lookups.add(r.ULP_RX_LA_CTL, self.wrptr, trace, r.ULP_RX_LA_WRPTR)
        self.lookups.add(r.ULP_RX_LA_CTL, self.trace, rows, r.ULP_RX_LA_RDDATA)
        self.lookups.add(r.ULP_RX_LA_RDPTR, self.trace, rows, r.ULP_RX_LA_RDDATA, step="read")

    def _words(self) -> list[int]:
        """Returns the traces in order: PCMD low and high, type, message, four of data (assumed)."""
        random = self.scenario.activity("ulp_rx_la")
        traces: list[list[int]] = [[] for _ in range(ULPRX_TRACES)]
        for _ in range(ULPRX_TRACE_WORDS):
            pcmd = random.randrange(1 << 40)
            words = [pcmd & U32_MASK, pcmd >> 32, random.randrange(16), random.getrandbits(24)]
            words += [random.getrandbits(32) for _ in range(4)]
            for trace, value in zip(traces, words, strict=True):
                trace.append(value)
        return [value for trace in traces for value in trace]


class UlpTxLa(Model):
    """Eleven traces of 512 words, each with an RDPTR; reading its RDDATA advances it."""

    def make(self) -> None:
        self.traces = [
            self.spaces.table(f"ulp_tx_la_{i}", rows=ULPTX_READS) for i in range(ULPTX_INSTANCES)
        ]

    def wire(self) -> None:
        random = self.scenario.activity("ulp_tx_la")
        for i, trace in enumerate(self.traces):
            trace.fill(0, [random.getrandbits(32) for _ in range(ULPTX_READS)])
            rdptr = self.r[f"ULP_TX_LA_RDPTR_{i}"]
            self.spaces.read_only(self.r[f"ULP_TX_LA_WRPTR_{i}"], random.randrange(ULPTX_READS))
            self.spaces.set(rdptr, random.randrange(ULPTX_READS))
            data = self.r[f"ULP_TX_LA_RDDATA_{i}"]
            self.lookups.add(rdptr, trace, Index(rdptr, ULPTX_READS - 1), data, step="read")


class UlpTxAsicDebug(Model):
    """Each strobe latches the next of 128 sets of debug words (assumed: no source describes it)."""

    def make(self) -> None:
        self.sets = self.spaces.table("ulp_tx_asic_debug", rows=ULPTX_ASIC_READS, width=ASIC_WORDS)
        random = self.scenario.activity(self.sets.name)
        self.sets.fill(0, [random.getrandbits(32) for _ in range(self.sets.count)])
        self.shown = [self.r[f"ULP_TX_ASIC_DEBUG_{i}"] for i in range(ASIC_WORDS)]
        self.next = 0

    @writes("ULP_TX_ASIC_DEBUG_CTRL")
    def strobe(self, element: int, value: int) -> int | None:
        """Latches a set if bit 0 is written as 1."""
        if value & ASIC_STROBE:
            first = ASIC_WORDS * self.next
            latched = self.sets.words[first : first + ASIC_WORDS]
            for register, word in zip(self.shown, latched, strict=True):
                self.spaces.set(register, word)
            self.next = (self.next + 1) % ULPTX_ASIC_READS
        return None

    def rewind(self) -> None:
        """Makes the first set the next one."""
        self.next = 0

    def save(self) -> int:
        """Returns the number of the next set."""
        return self.next

    def load(self, saved: int) -> None:
        self.next = saved
