"""The logic analysers of ULP TX: eleven of 512 words, and the debug words behind a strobe."""

from __future__ import annotations

from vmcoredd.chip.tp import ULPTX_ASIC_READS, ULPTX_INSTANCES, ULPTX_READS
from vmcoredd.emu.ports import Index
from vmcoredd.emu.silicon.model import Model, writes

ASIC_WORDS = 5
STROBE = 1


class UlpTxLa(Model):
    """RDPTR selects a word of an instance; reading its RDDATA moves RDPTR on."""

    def make(self) -> None:
        self.traces = [
            self.words.table(f"ulp_tx_la_{i}", rows=ULPTX_READS) for i in range(ULPTX_INSTANCES)
        ]

    def wire(self) -> None:
        random = self.scenario.random("ulp_tx_la")
        for i, trace in enumerate(self.traces):
            trace.fill(0, [random.getrandbits(32) for _ in range(ULPTX_READS)])
            rdptr = self.r[f"ULP_TX_LA_RDPTR_{i}"]
            self.words.read_only(self.r[f"ULP_TX_LA_WRPTR_{i}"], random.randrange(ULPTX_READS))
            self.words.set(rdptr, random.randrange(ULPTX_READS))
            data = self.r[f"ULP_TX_LA_RDDATA_{i}"]
            self.ports.add(rdptr, trace, Index(rdptr, ULPTX_READS - 1), data, step="read")


class UlpTxAsicDebug(Model):
    """Each strobe latches the next of 128 sets of debug words (assumed: no source describes it)."""

    def make(self) -> None:
        random = self.scenario.random("ulp_tx_asic_debug")
        self.sets = [
            [random.getrandbits(32) for _ in range(ASIC_WORDS)] for _ in range(ULPTX_ASIC_READS)
        ]
        self.shown = [self.r[f"ULP_TX_ASIC_DEBUG_{i}"] for i in range(ASIC_WORDS)]
        self.next = 0

    @writes("ULP_TX_ASIC_DEBUG_CTRL")
    def strobe(self, element: int, value: int) -> int | None:
        """Bit 0 latches."""
        if value & STROBE:
            for register, word in zip(self.shown, self.sets[self.next], strict=True):
                self.words.set(register, word)
            self.next = (self.next + 1) % ULPTX_ASIC_READS
        return None

    def save(self) -> int:
        """The next set."""
        return self.next

    def load(self, saved: int) -> None:
        """As saved."""
        self.next = saved
