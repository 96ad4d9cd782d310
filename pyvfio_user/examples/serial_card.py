"""A PCI serial card with one 16550A: prints what the guest sends, and sends it what is typed.

python serial_card.py /run/serial.sock
"""

import os
import sys
from collections import deque

from pyvfio_user import Server, pci

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(8)


class SerialCard:
    """The device: eight registers in I/O space, and an interrupt."""

    def __init__(self, path, source, sink):
        self.sink, self.received, self.registers = sink, deque(), bytearray(10)
        self.server = Server(path)
        self.server.config_space(pci.header(0x1B36, 2, device_class=0x070002, interrupt_pin=1))
        self.server.region(0, 8, self.access, memory=False)
        self.server.irqs(intx=1)
        self.server.on_input(source, self.receive)

    def access(self, offset, data, is_write):
        if offset < 2 and self.registers[LCR] & 0x80:
            offset += 8  # the divisor of the clock is in the place of DATA and IER
        if is_write and offset == DATA:
            os.write(self.sink, data)
        elif is_write:
            self.registers[offset] = data[0] & (0x0F if offset == IER else 0xFF)
        else:
            data[0] = self.read(offset)
        self.server.intx(self.pending() != 1)

    def read(self, offset):
        if offset == DATA:
            return self.received.popleft() if self.received else 0
        if offset == IIR:
            return 0xC0 | self.pending()  # FIFOs are on
        if offset == LSR:
            return 0x60 | bool(self.received)  # there is always room to send
        if offset == MSR:  # in loop-back, our outputs are the inputs; else a far end is ready
            out = self.registers[MCR] if self.registers[MCR] & 0x10 else 0x0B
            return (out & 0xC) << 4 | (out & 1) << 5 | (out & 2) << 3
        return self.registers[offset]

    def pending(self):
        """Returns what waits, as IIR shows it: received data, room to send, or nothing."""
        enabled = self.registers[IER]
        return 4 if enabled & 1 and self.received else 2 if enabled & 2 else 1

    def receive(self, data):
        self.received.extend(data)
        self.server.intx(self.pending() != 1)


if __name__ == "__main__":
    SerialCard(sys.argv[1], source=0, sink=1).server.serve()
