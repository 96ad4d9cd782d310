"""libvfio-user for Python: devices served to, and reached by, other processes over a socket.

`Client` speaks the protocol itself and needs no library. `Server` wraps libvfio-user, which is
linked in statically when this package is built; in a build without it, making a `Server` raises
`ServerUnavailable`. Both know nothing of any particular device.
"""

from .client import Client
from .connection import Counters
from .device import Area, DeviceInfo, Irq, Region
from .errors import (
    ConnectError,
    ConnectionLost,
    ListenError,
    PeerDied,
    ProtocolError,
    Refused,
    ServerUnavailable,
    Timeout,
    VfioUserError,
)
from .protocol import Capabilities, Command, DmaFlag, IrqIndex, RegionFlag

__all__ = [
    "Area",
    "Capabilities",
    "Client",
    "Command",
    "ConnectError",
    "ConnectionLost",
    "Counters",
    "DeviceInfo",
    "DmaFlag",
    "Irq",
    "IrqIndex",
    "ListenError",
    "PeerDied",
    "ProtocolError",
    "Refused",
    "Region",
    "RegionFlag",
    "ServerUnavailable",
    "Timeout",
    "VfioUserError",
]
