"""The served card with a planted defect, for the tests of the fuzzer: each client costs it a
descriptor. `planted_server.py SOCKET DEADLINE [window]`, as `served_card.py`."""

from __future__ import annotations

import os
import sys

from pyvfio_user import Server
from tests.fuzz import served_card


def _keep(_server: Server) -> None:
    os.dup(0)


if __name__ == "__main__":
    Server.on_client_gone = _keep  # type: ignore[assignment]
    served_card.main(*sys.argv[1:])
