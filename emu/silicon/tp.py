"""TP: the transport processor's registers behind index ports, and its counters."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.emu.silicon.model import Model
from vmcoredd.emu.space import Space

PIO_WORDS, TM_PIO_WORDS, MIB_WORDS = 0x900, 0x10, 0x80
"""Up to behind the last index the driver reads."""

CONFIGURED = {
    "TP_ETHER_TYPE_VL": {"CQFCTYPE": 0x8808, "VLANTYPE": 0x8100},
    "TP_ETHER_TYPE_IP": {"IPV6TYPE": 0x86DD, "IPV4TYPE": 0x0800},
    "TP_VXLAN_HEADER": {"VXLANPORT": 4789},
    "TP_VLAN_PRI_MAP": {"PROTOCOL": 1, "PORT": 1, "VLAN": 1, "FCOE": 1},
}
"""Fields that firmware sets, by register (assumed: values of the standards; the last says what
filters can match). A T5 lacks some."""
COUNTED = ("TP_DBG_", "TP_MIB_DEBUG")
"""Registers of space tp_pio that show the hardware at work: whatever it left there."""


class TpRegisters(Model):
    """Spaces `tp_pio`, `tp_tm_pio` and `tp_mib`: an index in one register, the word in another."""

    def make(self) -> None:
        self.pio = self.words.table("tp_pio", rows=PIO_WORDS)
        self.timers = self.words.table("tp_tm_pio", rows=TM_PIO_WORDS)
        self.mib = self.words.table("tp_mib", rows=MIB_WORDS)

    def wire(self) -> None:
        r = self.r
        self.ports.index(r.TP_PIO_ADDR, r.TP_PIO_DATA, self.pio)
        self.ports.index(r.TP_TM_PIO_ADDR, r.TP_TM_PIO_DATA, self.timers)
        self.ports.index(r.TP_MIB_INDEX, r.TP_MIB_DATA, self.mib)
        self._configure()
        self._observe()
        self._keys()
        self._schedule()
        self._count()

    def _in(self, space: Space) -> list[Register]:
        """The registers that are described there."""
        places = (self.r.at(index, space.name) for index in range(space.count))
        return [place.register for place in places if place]

    def _configure(self) -> None:
        for name, fields in CONFIGURED.items():
            if name in self.r:
                self.words.fields(self.r[name], **fields)

    def _observe(self) -> None:
        random = self.scenario.random("tp_pio")
        for register in self._in(self.pio):
            if register.name.startswith(COUNTED):
                mask = register.mask(*(field.name for field in register.fields)) or 0xFFFFFFFF
                self.words.set(register, random.getrandbits(32) & random.getrandbits(32) & mask)

    def _keys(self) -> None:
        """The RSS key: ten words."""
        random = self.scenario.random("rss key")
        for number in range(10):
            self.words.set(self.r[f"TP_RSS_SECRET_KEY{number}"], random.getrandbits(32))

    def _schedule(self) -> None:
        """Rates and pauses of the modulation schedulers; two queues share a word."""
        random = self.scenario.random("tp_tm_pio")
        for register in self._in(self.timers):
            self.words.set(register, random.choice((0, 0, random.getrandbits(32) & 0x0FFF0FFF)))

    def _count(self) -> None:
        """Counters: drops and errors per port, TCP segments."""
        traffic = self.scenario.traffic
        for port, passed in enumerate(traffic.ports):
            self._mib(f"TP_MIB_MAC_IN_ERR_{port}", passed.received.errors)
            self._mib(f"TP_MIB_TNL_CNG_DROP_{port}", passed.received.drops)
            self._mib(f"TP_MIB_TNL_OUT_PKT_{port}", passed.sent.frames)
            self._mib(f"TP_MIB_TNL_IN_PKT_{port}", passed.received.frames)
        for version, tcp in (("", traffic.tcp4), ("V6", traffic.tcp6)):
            self._mib(f"TP_MIB_TCP_{version}OUT_RST", tcp.resets)
            self._mib64(f"TP_MIB_TCP_{version}IN_SEG", tcp.received)
            self._mib64(f"TP_MIB_TCP_{version}OUT_SEG", tcp.sent)
            self._mib64(f"TP_MIB_TCP_{version}RXT_SEG", tcp.resent)

    def _mib(self, name: str, value: int) -> None:
        self.words.set(self.r[name], value & 0xFFFFFFFF)

    def _mib64(self, name: str, value: int) -> None:
        self._mib(f"{name}_HI", value >> 32)
        self._mib(f"{name}_LO", value)
