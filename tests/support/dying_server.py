"""Serves a card on a socket and kills itself after N accesses: `dying_server.py SOCKET N`."""

from __future__ import annotations

import os
import signal
import sys

from pyvfio_user import Server
from vmcoredd import emu

BAR0 = 0


def main(path: str, last: int) -> None:
    card = emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    left = last

    def access(offset: int, data: memoryview, is_write: bool) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if is_write:
            card.bar_write(BAR0, offset, bytes(data))
        else:
            data[:] = card.bar_read(BAR0, offset, len(data))

    def config(offset: int, data: memoryview, is_write: bool) -> None:
        if is_write:
            card.config_write(offset, bytes(data))
        else:
            data[:] = card.config_read(offset, len(data))

    with Server(path) as server:
        server.config_space(card.config[:64], config)
        server.region(BAR0, card.bars[BAR0], access, bits64=True)
        print("ready", flush=True)
        server.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
