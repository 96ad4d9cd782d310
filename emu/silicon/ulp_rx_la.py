"""The logic analyser of ULP RX: eight traces of 512 words behind one self-advancing register."""

from __future__ import annotations

from vmcoredd.chip.tp import ULPRX_TRACE_WORDS, ULPRX_TRACES
from vmcoredd.emu.ports import Index
from vmcoredd.emu.silicon.model import Model


class UlpRxLa(Model):
    """CTL selects a trace, RDPTR a word of it; reading RDDATA moves RDPTR on."""

    def make(self) -> None:
        self.trace = self.words.table("ulp_rx_la", rows=ULPRX_TRACES * ULPRX_TRACE_WORDS)
        self.wrptr = self.words.table("ulp_rx_la_wrptr", rows=ULPRX_TRACES)

    def wire(self) -> None:
        r = self.r
        self.trace.fill(0, self._words())
        wrptr = self.scenario.random("ulp_rx_la pointer").randrange(ULPRX_TRACE_WORDS)
        self.wrptr.fill(0, [wrptr] * ULPRX_TRACES)
        trace, word = Index(r.ULP_RX_LA_CTL, 7), Index(r.ULP_RX_LA_RDPTR, ULPRX_TRACE_WORDS - 1)
        rows = [word, trace._replace(scale=ULPRX_TRACE_WORDS)]
        self.ports.add(r.ULP_RX_LA_CTL, self.wrptr, trace, r.ULP_RX_LA_WRPTR)
        self.ports.add(r.ULP_RX_LA_CTL, self.trace, rows, r.ULP_RX_LA_RDDATA)
        self.ports.add(r.ULP_RX_LA_RDPTR, self.trace, rows, r.ULP_RX_LA_RDDATA, step="read")

    def _words(self) -> list[int]:
        """Trace after trace: PCMD low and high, type, message, four words of data (assumed)."""
        random = self.scenario.random("ulp_rx_la")
        traces: list[list[int]] = [[] for _ in range(ULPRX_TRACES)]
        for _ in range(ULPRX_TRACE_WORDS):
            pcmd = random.randrange(1 << 40)
            words = [pcmd & 0xFFFFFFFF, pcmd >> 32, random.randrange(16), random.getrandbits(24)]
            words += [random.getrandbits(32) for _ in range(4)]
            for trace, value in zip(traces, words, strict=True):
                trace.append(value)
        return [value for trace in traces for value in trace]
