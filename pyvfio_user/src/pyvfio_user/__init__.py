"""libvfio-user for Python: devices served to, and reached by, other processes over a socket.

`Client` speaks the protocol itself and needs no library. `Server` wraps libvfio-user, which is
linked in statically when this package is built; in a build without it, making a `Server` raises
`ServerUnavailable`. Both know nothing of any particular device.
"""

from pathlib import Path

from .callbacks import Access, DmaRegion, NativeAccess, ResetReason
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
from .protocol import SPIN, Capabilities, Command, DmaFlag, IrqIndex, RegionFlag
from .server import Server, library_version

__all__ = [
    "SPIN",
    "Access",
    "Area",
    "Capabilities",
    "Client",
    "Command",
    "ConnectError",
    "ConnectionLost",
    "Counters",
    "DeviceInfo",
    "DmaFlag",
    "DmaRegion",
    "Irq",
    "IrqIndex",
    "ListenError",
    "NativeAccess",
    "PeerDied",
    "ProtocolError",
    "Refused",
    "Region",
    "RegionFlag",
    "ResetReason",
    "Server",
    "ServerUnavailable",
    "Timeout",
    "VfioUserError",
    "get_include",
    "library_version",
]


def get_include() -> str:
    """The folder for a compiler's `-I`: extensions `#include "pyvfio_user/io.h"` from it."""
    return str(Path(__file__).with_name("include"))
