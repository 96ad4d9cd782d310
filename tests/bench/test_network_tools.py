"""What iperf3 3.12 and iputils' ping say, as it was recorded, and how it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmcoredd.bench.network_tools import (
    Datagrams,
    Echoes,
    Stream,
    Unreadable,
    read_datagrams,
    read_echoes,
    read_stream,
)

PING = """PING 10.9.1.2 (10.9.1.2) 56(84) bytes of data.

--- 10.9.1.2 ping statistics ---
20 packets transmitted, 19 received, 5% packet loss, time 317ms
rtt min/avg/max/mdev = 0.030/0.048/0.287/0.054 ms
"""
FLOOD = PING.replace("0.054 ms", "0.054 ms, ipg/ewma 0.011/0.006 ms")
UNREACHABLE = """PING 10.9.1.2 (10.9.1.2) 56(84) bytes of data.

--- 10.9.1.2 ping statistics ---
3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2041ms
pipe 3
"""


def iperf3(**end: Any) -> str:
    return json.dumps({"start": {"version": "iperf 3.12"}, "intervals": [], "end": end})


def test_a_stream_is_what_the_receiver_got() -> None:
    text = iperf3(
        sum_sent={"bytes": 2_000_000, "bits_per_second": 16e6, "seconds": 1.0},
        sum_received={"bytes": 1_900_000, "bits_per_second": 15.2e6, "seconds": 1.0},
    )
    assert read_stream(text) == Stream(1_900_000, 15.2)


def test_datagrams_that_were_lost_were_not_received() -> None:
    text = iperf3(
        sum_sent={"packets": 1000, "lost_packets": 0, "seconds": 0.5},
        sum_received={"bytes": 14_400, "packets": 990, "lost_packets": 190, "seconds": 0.5},
    )
    assert read_datagrams(text) == Datagrams(2000, 1600)


def test_a_stream_of_which_nothing_arrives_is_no_figure() -> None:
    with pytest.raises(Unreadable, match="nothing was received"):
        read_stream(iperf3(sum_received={"bytes": 0, "bits_per_second": 0.0, "seconds": 1.0}))


def test_an_error_of_iperf3_is_told_though_its_exit_code_is_0() -> None:
    text = json.dumps({"end": {}, "error": "unable to connect to server: Connection refused"})
    with pytest.raises(Unreadable, match="iperf3: unable to connect to server"):
        read_stream(text)


def test_output_that_is_no_json_is_told() -> None:
    with pytest.raises(Unreadable, match="iperf3: not found"):
        read_datagrams("iperf3: not found\n")


@pytest.mark.parametrize("text", [PING, FLOOD])
def test_echoes_have_a_minimum_and_an_average_and_may_be_lost(text: str) -> None:
    assert read_echoes(text) == Echoes(1, 0.030, 0.048)


def test_echoes_without_any_reply_are_no_figure() -> None:
    with pytest.raises(Unreadable, match="100% packet loss"):
        read_echoes(UNREACHABLE)
