"""The Ethernet ports: links that are down, and frames that are damaged or dropped.

MAC reports the state of a link in MAC_PORT_LINK_STATUS and its changes in MAC_PORT_INT_CAUSE; MPS
counts frames.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vmcoredd.chip import Register
from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.chip.firmware.port import LinkDown
from vmcoredd.emu.firmware import links
from vmcoredd.emu.silicon.arguments import number
from vmcoredd.emu.silicon.model import Model, fault

PORTS = range(4)
"""The ports of the card with the most."""
MANY = 0x0001_2345
"""Damaged frames: more than a healthy card has."""
VERY_MANY = 0x3_0000_1000
"""Dropped frames: more than 32 bits hold."""
HIGH_BER = (
    ("MAC_PORT_MTIP_PCS_BASER_STATUS1", "HiBER"),
    ("MAC_PORT_MTIP_CR4_BASE_R_STATUS_1", "High_BER"),
)
"""Registers of T5 and of T6 in which the PCS reports many damaged blocks (802.3, 45.2.3.13.4)."""
LINK_DOWN = {"no signal": LinkDown.NO_SIGNAL, "remote fault": LinkDown.REMOTE_FAULT}
"""Why firmware reports a link as down, if it knows."""


class Links(Model):
    """One link that is down, and why."""

    def make(self) -> None:
        self.flapping: dict[str, int] = {}
        """The ports whose links are to come up again, by the faults that took them down."""
        self._calls_off: dict[str, Callable[[], None]] = {}

    def save(self) -> Any:
        return dict(self.flapping)

    def load(self, saved: Any) -> None:
        self.flapping = dict(saved)
        for flap in {*self._calls_off} - {*saved}:
            self._calls_off.pop(flap)()

    @fault("link-down-port{}", "The link of Ethernet port {} is down.", each=PORTS, reports=True)
    def lose(self, port: int) -> None:
        self._down(port, "no signal")

    @fault(
        "link-local-fault-port{}",
        "The link of Ethernet port {} is down with a local fault: it receives nothing good.",
        each=PORTS,
        reports=True,
    )
    def fail_here(self, port: int) -> None:
        self._down(port, "local fault", "locflt", "LocalFault")

    @fault(
        "link-remote-fault-port{}",
        "The link of Ethernet port {} is down with a remote fault: the peer receives nothing good.",
        each=PORTS,
        reports=True,
    )
    def fail_there(self, port: int) -> None:
        self._down(port, "remote fault", "remflt", "RemoteFault")

    @fault(
        "link-high-ber-port{}",
        "The link of Ethernet port {} is down: its bit error rate is high.",
        each=PORTS,
        reports=True,
    )
    def corrupt(self, port: int) -> None:
        """A T5 shows it in the PCS only."""
        self._down(port, "high bit error rate", "hi_ber", "PCS_Link_Fail")
        for name, bit in HIGH_BER:
            if name in self.r:
                self.spaces.set_bits(self.r[name], bit, element=port)

    @fault(
        "link-flap-port{}",
        "The link of Ethernet port {} is down for so many ms; the driver hears of both changes.",
        each=PORTS,
        reports=True,
        takes=number("MS", "milliseconds", 200),
    )
    def flap(self, port: int, milliseconds: int) -> None:
        """MAC and log keep what they have reported: the link is as before, its history is not."""
        self._down(port, "no signal")
        flap = f"link-flap-port{port}={milliseconds}"
        self.flapping[flap] = port
        self._calls_off[flap] = self.alarms.set(milliseconds / 1000, partial(self._up, flap))

    def _up(self, flap: str) -> None:
        port = self.flapping.pop(flap)
        del self._calls_off[flap]
        if port not in self.flapping.values():
            self.firmware.state.links[port].broken = None
            links.update(self.firmware, port)
        self.spent(flap)

    def _down(self, port: int, why: str, status_bit: str = "", cause_bit: str = "") -> None:
        if port >= self.scenario.profile.ports.count:
            raise self.refuse(f"Ethernet port {port}")
        status, cause = self.r.MAC_PORT_LINK_STATUS, self.r.MAC_PORT_INT_CAUSE
        self.spaces.set_bits(status, "linkdn", *_known(status, status_bit), element=port)
        bits = ("MAC_Link_Down", *_known(cause, cause_bit))
        self.interrupt(f"MAC{port}", cause, *bits, element=port)
        self.firmware.state.links[port].broken = LINK_DOWN.get(why, LinkDown.UNKNOWN)
        links.update(self.firmware, port)
        text = f"port %u: link down, {why}"
        self.firmware.tell((Level.NOTICE, Facility.PORT, text, port))


class PortErrors(Model):
    """Counters of the last port, and the parity of its FIFO."""

    @property
    def port(self) -> int:
        """The last port."""
        return self.scenario.profile.ports.count - 1

    @fault(
        "rx-crc-errors",
        "The last Ethernet port received many frames with a wrong checksum.",
        reports=True,
    )
    def damage(self) -> None:
        self.spaces.add64("MPS_PORT_STAT_RX_PORT_CRC_ERROR", MANY, self.port)
        self._mib("MAC_IN_ERR", MANY)

    @fault(
        "rx-symbol-errors",
        "The last Ethernet port received many frames with undefined symbols.",
        reports=True,
    )
    def distort(self) -> None:
        self.spaces.add64("MPS_PORT_STAT_RX_PORT_SYM_ERROR", MANY, self.port)

    @fault(
        "rx-length-errors",
        "The last Ethernet port received many frames with a wrong length.",
        reports=True,
    )
    def shorten(self) -> None:
        self.spaces.add64("MPS_PORT_STAT_RX_PORT_LEN_ERROR", MANY, self.port)

    @fault(
        "rx-drops",
        "MPS has dropped many frames that no buffer was free for: MPS_STAT_RX_BG_0.",
        reports=True,
    )
    def drop(self) -> None:
        self.spaces.add64("MPS_STAT_RX_BG_0_MAC_DROP_FRAME", VERY_MANY)

    @fault(
        "rx-truncations",
        "MPS has cut many frames that no buffer was free for: MPS_STAT_RX_BG_0.",
        reports=True,
    )
    def truncate(self) -> None:
        self.spaces.add64("MPS_STAT_RX_BG_0_MAC_TRUNC_FRAME", MANY)

    @fault(
        "tx-drops",
        "The last Ethernet port has dropped many frames that it was to send.",
        reports=True,
    )
    def drop_sent(self) -> None:
        self.spaces.add64("MPS_PORT_STAT_TX_PORT_DROP", VERY_MANY, self.port)

    @fault(
        "tp-drops",
        "TP has dropped many frames of the last Ethernet port: counters in TP_MIB.",
        reports=True,
    )
    def drop_inside(self) -> None:
        for counter in ("TNL_CNG_DROP", "OFD_CHN_DROP", "TNL_DROP"):
            self._mib(counter, MANY)

    @fault(
        "parity-mac",
        "The receive FIFO of the last Ethernet port has a parity error.",
        reports=True,
    )
    def lose_parity(self) -> None:
        cause = self.r.MAC_PORT_INT_CAUSE
        self.interrupt(f"MAC{self.port}", cause, "RxFifo_prty_err", element=self.port)
        self.spaces.set_bits(self.r.PL_PERR_CAUSE, "MAC")

    def _mib(self, counter: str, frames: int) -> None:
        register = self.r[f"TP_MIB_{counter}_{self.port}"]
        self.spaces.set(register, self.spaces.get(register) + frames & 0xFFFFFFFF)


def _known(register: Register, name: str) -> list[str]:
    """Returns the field's name if the register has it."""
    return [field.name for field in register.fields if field.name == name]
