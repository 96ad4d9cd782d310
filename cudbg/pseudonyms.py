"""Pseudonyms of private values: the same value has the same one, as long as one object lives."""

from __future__ import annotations

import hmac
import secrets
import string
from enum import Enum, auto

MAC_BYTES = 6
_GROUP, _LOCAL = 0x01, 0x02
_CLASSES = tuple(s.encode() for s in (string.digits, string.ascii_uppercase))
_LOWER = string.ascii_lowercase.encode()


class Kind(Enum):
    """What a private value is."""

    MAC = auto()
    MAC_TEXT = auto()
    """Twelve hexadecimal digits."""
    SERIAL = auto()
    """Printable, padded with NULs or spaces."""
    SECRET = auto()
    """A key, or other bytes without a form."""


class Pseudonyms:
    """Makes pseudonyms with a random secret that is not kept: nobody can test guesses."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._made: dict[bytes, bytes] = {}
        self.kinds: dict[bytes, Kind] = {}

    @property
    def made(self) -> dict[bytes, bytes]:
        """All pseudonyms so far, by the value; MAC addresses as six bytes."""
        return self._made

    def of(self, kind: Kind, value: bytes) -> bytes:
        """Returns as many bytes as `value` has; `value` itself if it tells nothing: zeros, ones."""
        if not is_private(kind, value):
            return value
        if kind is Kind.MAC_TEXT:
            return self._mac_text(value)
        body = value.rstrip(b"\0 ") if kind is Kind.SERIAL else value
        if body not in self._made:
            self._made[body] = self._new(kind, body)
            self.kinds[body] = kind
        return self._made[body] + value[len(body) :]

    def _mac_text(self, value: bytes) -> bytes:
        digits = value[: 2 * MAC_BYTES]
        made = self.of(Kind.MAC, bytes.fromhex(digits.decode())).hex().encode()
        return (made if digits.islower() else made.upper()) + value[len(digits) :]

    def _new(self, kind: Kind, value: bytes) -> bytes:
        stream = self._stream(kind, value)
        if kind is Kind.MAC:
            first = stream[0] & ~_GROUP | value[0] & _GROUP | _LOCAL
            return bytes([first, *stream[1:MAC_BYTES]])
        if kind is Kind.SERIAL:
            return bytes(map(_like, value, stream))
        return stream

    def _stream(self, kind: Kind, value: bytes) -> bytes:
        made = b""
        while len(made) < len(value):
            counter = len(made).to_bytes(4, "big") + kind.name.encode()
            made += hmac.digest(self._secret, counter + value, "sha256")
        return made[: len(value)]


def is_private(kind: Kind, value: bytes) -> bool:
    """Returns whether a value tells something of its owner: not zeros, blanks, or a well-known
    address."""
    if kind is Kind.MAC_TEXT:
        digits = value[: 2 * MAC_BYTES].decode("ascii", "replace")
        if len(digits) < 2 * MAC_BYTES or not all(c in string.hexdigits for c in digits):
            return False
        return is_private(Kind.MAC, bytes.fromhex(digits))
    if kind is Kind.MAC:
        return any(value) and not all(b == 0xFF for b in value) and not _well_known(value)
    return any(b not in b"\0 \xff" for b in value)


def _well_known(mac: bytes) -> bool:
    """Returns whether a group address belongs to a protocol (01:80:c2, 01:00:5e, 33:33), and was
    not made from a station's own (33:33:ff)."""
    is_own = mac[:3] == b"\x33\x33\xff"
    return (mac[:3] in (b"\x01\x80\xc2", b"\x01\x00\x5e") or mac[:2] == b"\x33\x33") and not is_own


def _like(byte: int, random: int) -> int:
    """Returns a byte of the same class: a digit for a digit, a letter for a letter."""
    for letters in (*_CLASSES, _LOWER):
        if byte in letters:
            return letters[random % len(letters)]
    return byte
