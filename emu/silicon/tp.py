"""TP, the transport processor: indirect registers, counters, and TCP's timers."""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.le import VNIC_ID_MODE
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import Space

PIO_WORDS, TM_PIO_WORDS, MIB_WORDS = 0x900, 0x10, 0x80
"""Sizes of the spaces, past the last index that the driver reads."""

CONFIGURED = {
    "TP_ETHER_TYPE_VL": {"CQFCTYPE": 0x8808, "VLANTYPE": 0x8100},
    "TP_ETHER_TYPE_IP": {"IPV6TYPE": 0x86DD, "IPV4TYPE": 0x0800},
    "TP_VXLAN_HEADER": {"VXLANPORT": 4789},
}
"""Fields that firmware sets, by register (assumed: values from the standards). T5 lacks some."""
COUNTED = ("TP_DBG_", "TP_MIB_DEBUG")
"""Registers of space tp_pio that the hardware updates: random values."""
TIMER_SHIFT, TIMESTAMP_SHIFT, DELAYED_ACK_SHIFT = 14, 12, 8
"""Core clock cycles per tick, as logarithms (assumed)."""
MILLISECONDS = {
    "TP_RXT_MIN": 200,
    "TP_RXT_MAX": 60_000,
    "TP_PERS_MIN": 500,
    "TP_PERS_MAX": 60_000,
    "TP_KEEP_IDLE": 7_200_000,
    "TP_KEEP_INTVL": 75_000,
    "TP_INIT_SRTT": 1_000,
    "TP_FINWAIT2_TIMER": 60_000,
}
"""Timers that count ticks of TIMER_SHIFT (assumed: the values of usual TCP stacks)."""
DELAYED_ACK_MILLISECONDS = 40


class TpRegisters(Model):
    """Spaces `tp_pio`, `tp_tm_pio` and `tp_mib`: an index in one register, the word in another."""

    def make(self) -> None:
        self.pio = self.spaces.table("tp_pio", rows=PIO_WORDS)
        self.timers = self.spaces.table("tp_tm_pio", rows=TM_PIO_WORDS)
        self.mib = self.spaces.table("tp_mib", rows=MIB_WORDS)

    def wire(self) -> None:
        r = self.r
        self.lookups.index(r.TP_PIO_ADDR, r.TP_PIO_DATA, self.pio)
        self.lookups.index(r.TP_TM_PIO_ADDR, r.TP_TM_PIO_DATA, self.timers)
        self.lookups.index(r.TP_MIB_INDEX, r.TP_MIB_DATA, self.mib)
        self._configure()
        self._fill_debug()
        self._keys()
        self._schedule()
        self._count()

    def _in(self, space: Space) -> list[Register]:
        """Returns the described registers of a space."""
        found = (self.r.at(index, space.name) for index in range(space.count))
        return [each.register for each in found if each]

    def _configure(self) -> None:
        for name, fields in CONFIGURED.items():
            if name in self.r:
                self.spaces.fields(self.r[name], **fields)
        mode = self.scenario.filter_mode
        self.spaces.set(self.r.TP_VLAN_PRI_MAP, mode)
        self.spaces.put(self.r.TP_INGRESS_CONFIG, VNIC=int(bool(mode & VNIC_ID_MODE)))

    def _fill_debug(self) -> None:
        random = self.scenario.activity("tp_pio")
        for register in self._in(self.pio):
            if register.name.startswith(COUNTED):
                mask = register.mask(*(field.name for field in register.fields)) or U32_MASK
                mask &= ~self.waiting_bits(register)
                self.spaces.set(register, random.getrandbits(32) & random.getrandbits(32) & mask)

    def _keys(self) -> None:
        """Sets the RSS key, ten words."""
        for number, word in enumerate(self.scenario.rss_key):
            self.spaces.set(self.r[f"TP_RSS_SECRET_KEY{number}"], word)

    def _schedule(self) -> None:
        """Sets rates and intervals of the modulation schedulers; two queues share a word."""
        random = self.scenario.activity("tp_tm_pio")
        for register in self._in(self.timers):
            self.spaces.set(register, random.choice((0, 0, random.getrandbits(32) & 0x0FFF0FFF)))

    def _count(self) -> None:
        """Sets the counters: drops and errors of each port, TCP segments."""
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
        self.spaces.set(self.r[name], value & U32_MASK)

    def _mib64(self, name: str, value: int) -> None:
        self._mib(f"{name}_HI", value >> 32)
        self._mib(f"{name}_LO", value)


class Timers(Model):
    """TCP's timers, which firmware sets from the core clock; a driver may change them."""

    def wire(self) -> None:
        resolution = self.r.TP_TIMER_RESOLUTION
        word = resolution.of(
            TimerResolution=TIMER_SHIFT,
            TimestampResolution=TIMESTAMP_SHIFT,
            DelayedACKResolution=DELAYED_ACK_SHIFT,
        )
        self.spaces.plain(resolution, word)
        for name, milliseconds in MILLISECONDS.items():
            self._timer(self.r[name], milliseconds, TIMER_SHIFT)
        self._timer(self.r.TP_DACK_TIMER, DELAYED_ACK_MILLISECONDS, DELAYED_ACK_SHIFT)

    def _timer(self, register: Register, milliseconds: int, shift: int) -> None:
        """Sets a timer, in ticks of 1 << `shift` cycles of the core clock."""
        ticks = milliseconds * self.scenario.profile.card.core_clock >> shift
        self.spaces.plain(register, ticks)


class FreePages(Model):
    """Pages for payload, which connections take and return."""

    @fault(
        "tp-out-of-pages",
        "TP has no free transmit pages: TP_INT_CAUSE, and the count in MEMINFO.",
        reports=True,
    )
    def use_up(self) -> None:
        self.interrupt("TP", self.r.TP_INT_CAUSE, "FlmTxFlstEmpty")
        self.spaces.put(self.r.TP_FLM_FREE_TX_CNT, FreeTxPageCount=0)
        self.firmware.tell((Level.ERR, Facility.OFLD, "no free transmit pages"))

    @fault(
        "tp-page-count-wrong",
        "TP counts more free receive pages than it has pages: MEMINFO.",
        reports=True,
    )
    def miscount(self) -> None:
        count = self.r.TP_FLM_FREE_RX_CNT.field("FreeRxPageCount")
        self.spaces.put(self.r.TP_FLM_FREE_RX_CNT, FreeRxPageCount=count.get(U32_MASK))
