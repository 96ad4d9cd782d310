"""The errors of vfio-user clients and servers.

VfioUserError
  ConnectError        could not connect: no such path, refused, path too long
  ConnectionLost      the connection can no longer be used
    PeerDied          the other end closed it                   errno EIO
    Timeout           the other end was silent for too long     errno ETIMEDOUT
    ProtocolError     the other end broke the protocol          errno EPROTO
  Refused             the other end refused one request (its errno); the connection lives on
  ListenError         could not create a server's socket: path in use, too long, not permitted
  ServerUnavailable   this build has no libvfio-user
"""

from __future__ import annotations

import errno
import os


class VfioUserError(Exception):
    """The base of all errors. `errno` is the number that a C caller gets."""

    errno = errno.EIO


class ConnectError(VfioUserError):
    """Could not connect to a server."""

    def __init__(self, path: str, why: str, number: int = errno.EIO) -> None:
        super().__init__(f"cannot connect to {path}: {why}")
        self.errno = number


class ConnectionLost(VfioUserError):
    """The connection can no longer be used; it was lost during `what`."""

    why = "the connection is lost"

    def __init__(self, what: str, why: str | None = None) -> None:
        super().__init__(f"{what}: {why or self.why}")
        self.what = what


class PeerDied(ConnectionLost):
    """The other end closed the connection."""

    why = "the other end is gone"


class Timeout(ConnectionLost):
    """The other end was silent for longer than the deadline."""

    errno = errno.ETIMEDOUT

    def __init__(self, what: str, after: float) -> None:
        super().__init__(what, f"no answer within {after:g} s")
        self.after = after


class ProtocolError(ConnectionLost):
    """The other end broke the protocol."""

    errno = errno.EPROTO
    why = "the other end broke the protocol"


class Refused(VfioUserError):
    """The other end refused a request with `errno`. The connection lives on."""

    def __init__(self, what: str, number: int) -> None:
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"{what}: refused, {name} ({os.strerror(number)})")
        self.what = what
        self.errno = number


class ListenError(VfioUserError):
    """Could not create a server's socket."""

    def __init__(self, path: str, why: str, number: int = errno.EIO) -> None:
        super().__init__(f"cannot listen on {path}: {why}")
        self.errno = number


class ServerUnavailable(VfioUserError):
    """This build has no libvfio-user, so it cannot serve. Clients work."""

    errno = errno.ENOSYS
