"""Serves a small card on a socket: `served_card.py SOCKET DEADLINE [window]`.

As `vmcoredd emulate` does, but the device also uses whatever the client gives it: it reads and
writes the first and last page of each DMA mapping, and signals its interrupts.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys

from pyvfio_user.callbacks import DmaRegion

from pyvfio_user import Refused, Server
from vmcoredd import emu
from vmcoredd.emu.server import attach

PAGE = 4096
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


def main(path: str, deadline: str, *window: str) -> None:
    """Serves until SIGTERM."""
    logging.basicConfig(level=logging.INFO)
    card = emu.Card.load("t62100-cr", memory=SMALL, map_window=bool(window))
    with Server(path, deadline=float(deadline)) as server:
        attach(card, server)

        def use(region: DmaRegion) -> None:
            last = region.address + max(region.size - PAGE, 0)
            for address in (region.address, last):
                with contextlib.suppress(Refused):
                    data = server.dma_read(address, min(PAGE, region.size))
                    if any(data):
                        logging.error("LEAK: memory that is not the client's, whose is zeros")
                    server.dma_write(address, data)
            for vector in (0, 1, 7):
                with contextlib.suppress(Refused):
                    server.irq(vector)

        server.on_dma_map = use
        with server.stopped_by(signal.SIGTERM):
            print("ready", flush=True)
            server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
