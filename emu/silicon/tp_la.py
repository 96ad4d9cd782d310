"""TP's logic analyser: 128 words of 64 bits behind a read pointer."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.tp import LA_ENTRIES
from vmcoredd.emu.ports import Index
from vmcoredd.emu.silicon.model import Model, fault

MODE_SINGLE = 1


class TpLa(Model):
    """Writing CONFIG shows the word at its read pointer; the write pointer is the hardware's."""

    def make(self) -> None:
        self.trace = self.words.table("tp_la", rows=LA_ENTRIES, width=2)

    @property
    def config(self) -> Register:
        """Pointers, mode and state."""
        return self.r.TP_DBG_LA_CONFIG

    def wire(self) -> None:
        random, config = self.scenario.random("tp_la"), self.config
        self.trace.fill(0, [random.getrandbits(32) for _ in range(2 * LA_ENTRIES)])
        pointer = Index.field(config, "DbgLaRptr")
        self.ports.add(config, self.trace, pointer, self.r.TP_DBG_LA_DATAL, width=2)
        written = config.of(DbgLaWptr=random.randrange(LA_ENTRIES), DbgLaWhlf=1)
        self.ports.reads_as(config, clear=config.mask("DbgLaWptr", "DbgLaWhlf"))
        self.ports.reads_as(config, set_=written)
        self.words.set(config, written | config.of(DbgLaMode=MODE_SINGLE))

    @fault("tp-la-runs", "TP's logic analyser runs: it is stopped and started again.")
    def run(self) -> None:
        self.words.set(self.config, self.words.get(self.config) | self.config.mask("DbgLaEnable"))
