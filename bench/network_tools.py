"""iperf3 and ping: what to type, and what their output says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from vmcoredd.qemu.errors import GuestError

PAYLOAD = 18
"""Bytes of a small datagram: with its headers a frame of 60 bytes, the shortest."""
PING = re.compile(
    r"(\d+) packets transmitted, (\d+) received.*rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/", re.S
)


class Unreadable(GuestError):
    """A program in the guest failed, or its output is not as expected."""


@dataclass(frozen=True)
class Stream:
    """What one TCP stream delivered."""

    bytes: int
    mbits: float
    """Mbit/s."""


@dataclass(frozen=True)
class Datagrams:
    """Datagrams per second."""

    sent: float
    received: float


@dataclass(frozen=True)
class Echoes:
    """Echo requests without a reply, and the times to the others in ms."""

    lost: int
    minimum: float
    average: float


def stream(address: str, seconds: int) -> str:
    """Returns the command for one TCP stream to `iperf3 -s` at `address`."""
    return f"iperf3 -c {address} -t {seconds} -i 0 -J"


def datagrams(address: str, seconds: int) -> str:
    """Returns the command for small datagrams to `iperf3 -s`, as fast as they are sent."""
    return f"iperf3 -c {address} -u -b 0 -l {PAYLOAD} -t {seconds} -i 0 -J"


def echoes(address: str, count: int, interval: float) -> str:
    """Returns the command for echo requests, every `interval` seconds."""
    return f"ping -q -c {count} -i {interval} {address}"


def flood(address: str, count: int) -> str:
    """Returns the command for echo requests, each sent as soon as the last one is answered."""
    return f"ping -q -f -c {count} {address}"


def read_stream(text: str) -> Stream:
    """Reads the output of `stream`. Raises Unreadable."""
    received = _received(_end(text))
    return Stream(received["bytes"], received["bits_per_second"] / 1e6)


def read_datagrams(text: str) -> Datagrams:
    """Reads the output of `datagrams`. Raises Unreadable."""
    end = _end(text)
    sent, received = end["sum_sent"], _received(end)
    arrived = received["packets"] - received["lost_packets"]
    return Datagrams(sent["packets"] / sent["seconds"], arrived / received["seconds"])


def read_echoes(text: str) -> Echoes:
    """Reads the output of `echoes` or `flood`. Raises Unreadable, also if no reply came."""
    found = PING.search(text)
    if not found:
        raise Unreadable(f"ping: {text.strip()}")
    sent, received, minimum, average = found.groups()
    return Echoes(int(sent) - int(received), float(minimum), float(average))


def _end(text: str) -> dict[str, Any]:
    """Returns the summary of iperf3, whose exit code is 0 with -J even if it fails."""
    try:
        output = json.loads(text)
    except ValueError as error:
        raise Unreadable(f"iperf3: {text.strip()}") from error
    if "error" in output:
        raise Unreadable(f"iperf3: {output['error']}")
    return dict(output["end"])


def _received(end: dict[str, Any]) -> dict[str, Any]:
    received = dict(end["sum_received"])
    if not received["bytes"]:
        raise Unreadable("iperf3: nothing was received")
    return received
