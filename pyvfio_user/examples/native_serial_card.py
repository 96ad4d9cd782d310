"""The serial card of serial_card.py with its registers in C (uart.c): no Python for an access.

python native_serial_card.py /run/serial.sock
"""

import importlib.util
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path

import cffi

from pyvfio_user import NativeAccess, Server, get_include, pci

HERE = Path(__file__).resolve().parent


def compiled(folder):
    """Compiles uart.c in a folder and returns the module."""
    builder = cffi.FFI()
    headers = [
        Path(get_include()) / "pyvfio_user/host.h",
        Path(get_include()) / "pyvfio_user/work.h",
    ]
    builder.cdef("".join(header.read_text() for header in (*headers, HERE / "uart.h")))
    builder.set_source(
        "uart",
        "#include <stdint.h>\n"
        '#include "pyvfio_user/host.h"\n#include "pyvfio_user/work.h"\n#include "uart.h"',
        sources=[str(HERE / "uart.c")],
        include_dirs=[get_include(), str(HERE)],
    )
    spec = importlib.util.spec_from_file_location("uart", builder.compile(folder))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class NativeSerialCard:
    """The device: its region and its work are C functions, its state is a C struct."""

    def __init__(self, path, source, sink, module):
        self.server = Server(path)
        self.server.config_space(pci.header(0x1B36, 2, device_class=0x070002, interrupt_pin=1))
        self.server.irqs(intx=1)
        ffi, lib = module.ffi, module.lib
        host = ffi.cast("struct host *", self.server.host())
        self.uart = ffi.new("struct uart *", {"host": host, "input": source, "output": sink})
        self.pending = ffi.new("uint32_t *")
        run = ffi.addressof(lib, "uart_run")
        work = ffi.new("struct work *", [self.uart, source, self.pending, run])
        access = NativeAccess(
            address(ffi, ffi.addressof(lib, "uart_access")), address(ffi, self.uart)
        )
        self.server.region(0, 8, access, memory=False)
        self.server.work(address(ffi, work))


def address(ffi, pointer):
    return int(ffi.cast("uintptr_t", pointer))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        uart = compiled(folder)
    source, typed = os.pipe()  # which, unlike standard input, never ends
    lines = (os.write(typed, data) for data in iter(lambda: os.read(0, 256), b""))
    threading.Thread(target=lambda: deque(lines, 0), daemon=True).start()
    card = NativeSerialCard(sys.argv[1], source, sys.stdout.fileno(), uart)
    with card.server, card.server.stopped_by(signal.SIGTERM, signal.SIGINT):
        card.server.run()
