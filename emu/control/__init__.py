"""The control socket of a served card: what the card is, and changes to it while it runs.

Clients send one JSON object a line and get one for each; docs/reference/control.md describes them.

- `protocol.py`: requests, what they may hold, and where the socket is.
- `verbs.py`: what can be asked for. A new verb is a function marked `@verb`.
- `state.py`: what verbs work on, and what `state` tells of it.
- `server.py`: the socket and its clients. A thread serves all of them. What needs the card runs in
  the thread that serves the card, between two of its messages (`pyvfio_user.Server.submit`).
- `client.py`: the other end.
"""

from vmcoredd.emu.control.client import Client, ControlError, NoControlSocket, RequestRefused
from vmcoredd.emu.control.protocol import beside
from vmcoredd.emu.control.server import Control
from vmcoredd.emu.control.state import Served
from vmcoredd.emu.control.verbs import VERBS

__all__ = [
    "VERBS",
    "Client",
    "Control",
    "ControlError",
    "NoControlSocket",
    "RequestRefused",
    "Served",
    "beside",
]
