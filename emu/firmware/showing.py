"""Interfaces, as the engine and MPS have them."""

from __future__ import annotations

from vmcoredd.emu.firmware.firmware import Firmware
from vmcoredd.emu.firmware.state import Interface


def show(fw: Firmware, row: Interface) -> None:
    """Makes the card receive and send as an interface's settings say."""
    fw.engine.show_interface(row)
    show_port(fw, row.port)


def show_port(fw: Firmware, port: int) -> None:
    """Brings a port's filters and directions in line with its interfaces."""
    rows = [row for row in fw.state.interfaces.values() if row.port == port]
    receives, sends = (any(getattr(row, way) for row in rows) for way in ("receives", "sends"))
    fw.classifier.filter(port, rows)
    fw.classifier.enable(port, receives=receives, sends=sends)
    fw.engine.enable_port(port, enabled=receives or sends)


def show_default_queue(fw: Firmware, row: Interface, queue: int) -> None:
    """Shows the queue of frames that are not hashed. A function's register has one for each of the
    first channels."""
    register, name = fw.r[f"TP_RSS_PF{row.pf}_CONFIG"], f"CH{row.port}DEFAULTQUEUE"
    if name in {field.name for field in register.fields}:
        fw.spaces.put(register, **{name: queue})
