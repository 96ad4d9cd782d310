"""`python -m bench.server`: a card on a socket in a process of its own. Says `ready` on stdout."""

from __future__ import annotations

import json
import os
import sys

from vmcoredd.emu import Card
from vmcoredd.emu.server import serve


def main() -> None:
    """Options come as one JSON argument; see `bench.serving.CardServer`."""
    options = json.loads(sys.argv[1])
    if options["cpus"]:
        os.sched_setaffinity(0, options["cpus"])
    card = Card.load(options["card"], map_window=options["map_window"], **options["overrides"])
    serve(card, options["path"], ready=1, spin=options["spin"])


if __name__ == "__main__":
    main()
