"""What can go wrong between a vfio-user client and a server.

VfioUserError
  ConnectError        no connection came about: absent, refused, path too long
  ConnectionLost      the connection is of no more use
    PeerDied          the other end is gone                     errno EIO
    Timeout           the other end was silent for too long     errno ETIMEDOUT
    ProtocolError     the other end broke the protocol          errno EPROTO
  Refused             the other end refused one request (its errno); the connection lives on
  ListenError         a server's socket could not be made: path in use, too long, not permitted
  ServerUnavailable   this build has no libvfio-user
"""

from __future__ import annotations

import errno
import os


class VfioUserError(Exception):
    """The root of the tree. `errno` is the number that a C caller sees."""

    errno = errno.EIO


class ConnectError(VfioUserError):
    """No connection to a server came about."""

    def __init__(self, path: str, why: str, number: int = errno.EIO) -> None:
        super().__init__(f"cannot connect to {path}: {why}")
        self.errno = number


class ConnectionLost(VfioUserError):
    """The connection is of no more use; `what` was going on."""

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
    """The other end sent what the protocol does not allow."""

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
    """A server's socket could not be made."""

    def __init__(self, path: str, why: str, number: int = errno.EIO) -> None:
        super().__init__(f"cannot listen on {path}: {why}")
        self.errno = number


class ServerUnavailable(VfioUserError):
    """This build has no libvfio-user, so it cannot serve. Clients work."""

    errno = errno.ENOSYS
