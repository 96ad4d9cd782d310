"""A PCI serial card with one 16550A: prints what the guest sends, and sends it what is typed.

python serial_card.py /run/serial.sock
"""

import os
import signal
import sys
import threading
from collections import deque

from pyvfio_user import Server, pci

DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(8)


class SerialCard:
    """The device: eight registers in I/O space, and an interrupt."""

    def __init__(self, path, send):
        self.send, self.received = send, deque()
        self.registers, self.divisor = bytearray(8), bytearray(2)
        self.was_pending, self.lock = False, threading.Lock()
        self.server = Server(path)
        self.server.config_space(pci.header(0x1B36, 2, device_class=0x070002, interrupt_pin=1))
        self.server.region(0, 8, self.access, memory=False)
        self.server.irqs(intx=1)

    def access(self, offset, data, is_write):
        bank = self.divisor if offset < 2 and self.registers[LCR] & 0x80 else self.registers
        if bank is self.registers and is_write and offset == DATA:
            self.send(bytes(data))
        elif is_write:
            bank[offset] = data[0] & (0x0F if bank is self.registers and offset == IER else 0xFF)
        else:
            data[0] = self.read(offset) if bank is self.registers else bank[offset]
        self.interrupt()

    def read(self, offset):
        if offset == DATA:
            return self.received.popleft() if self.received else 0
        if offset == IIR:
            return 0xC0 | self.pending()  # FIFOs are on
        if offset == LSR:
            return 0x60 | bool(self.received)  # there is always room to send
        if offset == MSR and self.registers[MCR] & 0x10:  # loop-back: our outputs are the inputs
            out = self.registers[MCR]
            return (out & 0xC) << 4 | (out & 1) << 5 | (out & 2) << 3
        return 0xB0 if offset == MSR else self.registers[offset]

    def pending(self):
        """Returns what waits, as IIR shows it: received data, room to send, or nothing."""
        enabled = self.registers[IER]
        return 4 if enabled & 1 and self.received else 2 if enabled & 2 else 1

    def interrupt(self):
        with self.lock:  # a thread of ours receives while the server's accesses
            pending, was_pending = self.pending() != 1, self.was_pending
            self.was_pending = pending
        if pending and not was_pending:  # without the lock: irq() waits for the server's thread
            self.server.irq(0)

    def receive(self, data):
        self.received.extend(data)
        self.interrupt()


if __name__ == "__main__":
    card = SerialCard(sys.argv[1], lambda data: print(data.decode("latin-1"), end="", flush=True))
    typed = iter(lambda: os.read(0, 256), b"")
    threading.Thread(target=lambda: deque(map(card.receive, typed), 0), daemon=True).start()
    with card.server, card.server.stopped_by(signal.SIGTERM, signal.SIGINT):
        card.server.run()
