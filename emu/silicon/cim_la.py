"""The CIM's logic analysers: of the processor, and of its memory and peripheral interfaces."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.emu.ports import Index, When
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.space import Space

POINTERS = 1 << 12
"""Values of UpDbgLaRdPtr."""
LA_WORDS = 512
"""Values of POLADbgRdPtr and PILADbgRdPtr."""


class ProcessorLa(Model):
    """Behind the CIM's own registers: writing a pointer with RdEn fetches a word at once.

    The write pointer is the hardware's: no write changes it.
    """

    def make(self) -> None:
        self.trace = self.words.table("cim_la", rows=POINTERS)

    @property
    def config(self) -> Register:
        """The register with the pointers."""
        return self.r.UP_UP_DBG_LA_CFG

    def wire(self) -> None:
        random = self.scenario.random("cim_la")
        self.trace.fill(0, [random.getrandbits(32) for _ in range(POINTERS)])
        config = self.config
        self.ports.add(
            config,
            self.trace,
            Index.field(config, "UpDbgLaRdPtr"),
            self.r.UP_UP_DBG_LA_DATA,
            when=When.set(config, "UpDbgLaRdEn"),
        )
        rows = POINTERS >> 4
        written = config.of(UpDbgLaWrPtr=random.randrange(rows) << 4)
        self.ports.reads_as(config, clear=config.mask("UpDbgLaRdEn", "UpDbgLaWrPtr"))
        self.ports.reads_as(config, set_=written)
        self.words.set(config, written)

    @fault("cim-la-hangs", "The processor's logic analyser never fetches a word: CIM_LA fails.")
    def hang(self) -> None:
        self.ports.stick(self.config, set_=self.config.mask("UpDbgLaRdEn"), now=False)

    @fault("cim-la-runs", "The processor's logic analyser runs: it is stopped and started again.")
    def run(self) -> None:
        word = self.words.get(self.config)
        self.words.set(self.config, word | self.config.mask("UpDbgLaEn"))


class InterfaceLa(Model):
    """Two traces, out (PO) and in (PI), each seen as its whole and as its memory part."""

    def make(self) -> None:
        names = ("po_la", "pi_la", "po_la_ma", "pi_la_ma")
        self.traces = {name: self.words.table(f"cim_{name}", rows=LA_WORDS) for name in names}

    def wire(self) -> None:
        r = self.r
        self._connect(r.CIM_PO_LA_DEBUGDATA, self.traces["po_la"], "POLADbgRdPtr")
        self._connect(r.CIM_PI_LA_DEBUGDATA, self.traces["pi_la"], "PILADbgRdPtr")
        self._connect(r.CIM_PO_LA_MADEBUGDATA, self.traces["po_la_ma"], "POLADbgRdPtr")
        self._connect(r.CIM_PI_LA_MADEBUGDATA, self.traces["pi_la_ma"], "PILADbgRdPtr")
        entry = 8 * self.scenario.random("cim_debugsts").randrange(LA_WORDS // 8)
        status = r.CIM_DEBUGSTS
        self.words.read_only(status, status.of(POLADbgWrPtr=entry, PILADbgWrPtr=entry))

    def _connect(self, data: Register, trace: Space, pointer: str) -> None:
        random = self.scenario.random(trace.name)
        trace.fill(0, [random.getrandbits(32) for _ in range(LA_WORDS)])
        config = self.r.CIM_DEBUGCFG
        self.ports.add(config, trace, Index.field(config, pointer), data)

    @fault("cim-interface-la-runs", "The interface analysers run: they are stopped and restarted.")
    def run(self) -> None:
        config = self.r.CIM_DEBUGCFG
        self.words.set(config, self.words.get(config) | config.mask("LADbgEn"))
