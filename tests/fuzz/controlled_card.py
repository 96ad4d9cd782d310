"""Serves a small card with a control socket beside it: `controlled_card.py SOCKET`.

As `vmcoredd emulate` does, but with less patience. Files that clients name are in its folder.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from pyvfio_user import Server
from vmcoredd import emu
from vmcoredd.emu.control import Control, Served, beside, server, tracing
from vmcoredd.emu.server import attach

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
PATIENCE = 2.0
server.READING = 0.5
tracing.PATIENCE = 1.0


def main(path: str) -> None:
    """Serves until SIGTERM or the verb `stop`."""
    logging.basicConfig(level=logging.INFO)
    os.chdir(Path(path).parent)
    card = emu.Card.load("t62100-cr", memory=SMALL)
    with Server(path, deadline=1.0) as one:
        attach(card, one)
        with (
            Control(Served(card, one), beside(path), patience=PATIENCE),
            one.stopped_by(signal.SIGTERM),
        ):
            print("ready", flush=True)
            one.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
