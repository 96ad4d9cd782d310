"""Where data wait on their way between the host and the wire, channel by channel.

Each hop has a field of a debug register, with one bit per channel: what takes the data there is
almost full, is congested, or has stopped the channel. Which fields count, and in which order data
pass them, is known from Chelsio's dump viewer (cudbg_view.c, view_full()). On a T6 that viewer
reads the SGE's bits where a T5 has them; here they are where the register database has them.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip.register import Register


class Hop(NamedTuple):
    """A place on the way, and the field that has a bit for each channel that waits there."""

    place: str
    """From where to where data pass."""
    register: str
    field: str
    channel: int = 0
    """The channel of the field's lowest bit."""

    def bit(self, register: Register, channel: int) -> int:
        """Returns a channel's bit in the hop's register; 0 if it has none."""
        field, above = register.field(self.field), channel - self.channel
        return 1 << field.shift + above if 0 <= above < field.width else 0


class BackPressure(NamedTuple):
    """The hops of a chip, in the order in which data pass them."""

    receive: tuple[Hop, ...]
    send: tuple[Hop, ...]

    def full_bits(self, register: Register) -> int:
        """Returns the bits of a register that no hop sets where data flow."""
        hops = (*self.receive, *self.send)
        return register.mask(*(hop.field for hop in hops if hop.register == register.name))


_SGE = "SGE_DEBUG_DATA_HIGH_INDEX_10"
_PCIE = ("PCIE_CDEBUG_REG_0x2", "PCIE_CDEBUG_REG_0x3")
_SGE_TO_PCIE, _PCIE_TO_SGE, _PCIE_TO_HOST = "the SGE to PCIE", "PCIE to the SGE", "PCIE to the host"
_RECEIVE = (
    Hop("MPS to TP", "TP_DBG_ESIDE_INT", "ERXAFULL2X"),
    Hop("TP's E side to its C side", "TP_DBG_CSIDE_INT", "CTXAFULL2X"),
    *(
        Hop("TP's receive scheduler", "TP_DBG_SCHED_RX", field)
        for field in ("RXCHNXOFF", "RXFIFOCNG", "RXPCMDCNG", "RXHDRCNG")
    ),
    Hop("the CPL switch to the SGE", _SGE, "debug_T_RxAFull_d"),
)
_SEND = (
    Hop("ULP_TX to TP", "TP_DBG_CSIDE_INT", "CRXAFULL2X"),
    Hop("TP's transmit scheduler", "TP_DBG_SCHED_TX", "TXCHNXOFF"),
)

T5 = BackPressure(
    receive=(
        *_RECEIVE,
        Hop(_SGE_TO_PCIE, _SGE, "debug_PD_RdReqAFull_d"),
        Hop(_SGE_TO_PCIE, _SGE, "debug_PD_WrReqAFull_d"),
        Hop(_PCIE_TO_HOST, _PCIE[0], "D_RdReqAFull"),
        Hop(_PCIE_TO_HOST, _PCIE[0], "D_WrReqAFull"),
    ),
    send=(
        Hop(_PCIE_TO_SGE, _PCIE[0], "D_RspAFull"),
        Hop("the SGE to ULP_TX", _SGE, "debug_PD_RdRspAFull_d"),
        *_SEND,
    ),
)
T6 = BackPressure(
    receive=(
        *_RECEIVE,
        Hop(_SGE_TO_PCIE, _SGE, "debug_PD_WrReqAFull_d"),
        *(
            Hop(_PCIE_TO_HOST, register, field, channel)
            for channel, register in enumerate(_PCIE)
            for field in ("D_RdReqAFull", "D_WrReqAFull")
        ),
    ),
    send=(
        *(Hop(_PCIE_TO_SGE, register, "D_RspAFull", c) for c, register in enumerate(_PCIE)),
        *_SEND,
    ),
)
