"""libvfio-user for Python: serve a PCI device on a socket, or use one that another process serves.

`Client` speaks the protocol itself and needs no library. `Server` wraps libvfio-user, which is
linked in statically when this package is built; in a build without it, making a `Server` raises
`ServerUnavailable`. Neither knows any particular device.
"""

from pathlib import Path

from .callbacks import Access, DmaRegion, NativeAccess, ResetReason
from .client import Client, RegionAccess
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
from .limited_log import LimitedLog
from .protocol import SPIN, Capabilities, Command, DmaFlag, IrqIndex, RegionFlag
from .server import Peer, Server, library_version
from .shared import UnsealedArea, memory_file

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
    "LimitedLog",
    "ListenError",
    "NativeAccess",
    "Peer",
    "PeerDied",
    "ProtocolError",
    "Refused",
    "Region",
    "RegionAccess",
    "RegionFlag",
    "ResetReason",
    "Server",
    "ServerUnavailable",
    "Timeout",
    "UnsealedArea",
    "VfioUserError",
    "get_include",
    "library_version",
    "memory_file",
]


def get_include() -> str:
    """Returns the folder for a compiler's `-I`, with the headers for other extensions."""
    return str(Path(__file__).with_name("include"))
