"""The packet engine: queues, frames, interrupts and wires, in C (engine.h).

`Engine` is its Python side: it fills the tables that firmware hands out, connects wires, and hears
of trouble and of links. Nothing of it runs for a frame.
"""

from vmcoredd.emu.engine.engine import Engine
from vmcoredd.emu.engine.tables import (
    FLOWS,
    NEIGHBOURS,
    NO_CLASS,
    NO_QUEUE,
    SOURCE_MACS,
    EgressKind,
    EgressRing,
    IngressRing,
    InterfaceRow,
    WireKind,
)

__all__ = [
    "FLOWS",
    "NEIGHBOURS",
    "NO_CLASS",
    "NO_QUEUE",
    "SOURCE_MACS",
    "EgressKind",
    "EgressRing",
    "Engine",
    "IngressRing",
    "InterfaceRow",
    "WireKind",
]
