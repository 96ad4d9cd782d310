"""Traffic in a guest: how pairs of ports are found, and what the table makes of the figures."""

from __future__ import annotations

import os
import time

import pytest

from vmcoredd import debs
from vmcoredd.bench.guest_traffic import FIGURES, NOTES, by_pair, ratios, rows
from vmcoredd.bench.machine import seconds_of
from vmcoredd.bench.measure import Row
from vmcoredd.bench.paired_ports import CARDS, MODELS, check, ports
from vmcoredd.qemu.root import Root

LISTED = """0000:02:00.0 1 cxgb4 eth3
0000:03:00.0 0 igb eth4
0000:04:00.0 0 igb eth5
0000:07:00.0 0 vmxnet3 eth6
0000:05:00.0 0 e1000e eth8
0000:06:00.0 0 e1000e eth9
0000:08:00.0 0 vmxnet3 eth7
0000:02:00.0 0 cxgb4 eth2
0000:01:00.0 0 cxgb4 eth0
0000:01:00.0 1 cxgb4 eth1
"""


def test_the_ports_of_a_card_and_two_nics_of_a_model_are_pairs() -> None:
    assert ports(LISTED) == {
        "T6": ("eth0", "eth1"),
        "T5": ("eth2", "eth3"),
        "igb": ("eth4", "eth5"),
        "e1000e": ("eth8", "eth9"),
        "vmxnet3": ("eth6", "eth7"),
    }


def test_a_nic_without_its_driver_is_no_pair() -> None:
    with pytest.raises(KeyError, match="vmxnet3"):
        ports("\n".join(line for line in LISTED.splitlines() if "vmxnet3" not in line))


def test_a_command_that_cannot_be_had_is_told_before_the_boot() -> None:
    check(Root(missing=("tcpdump",), reason="no network"))
    with pytest.raises(debs.Unavailable, match="iputils-ping, iperf3: no network"):
        check(Root(missing=("iputils-ping", "iperf3", "tcpdump"), reason="no network"))


def table(card: float, other: float) -> list[Row]:
    """The rows of two rounds in which each figure of a card is `card`, those of others `other`."""
    figures = {*FIGURES, *(more for beside in NOTES.values() for more in beside)}
    taken = {
        ("load", name): [dict.fromkeys(figures, card if name in CARDS else other)] * 2
        for name in (*CARDS, *MODELS)
    }
    return list(rows(by_pair(taken)))


def test_each_figure_of_each_card_is_compared_with_each_nic_of_qemus() -> None:
    found = table(300, 200)
    assert len(found) == len(FIGURES) * len(CARDS) * len(MODELS)
    assert {row.ratio.median for row in found if row.ratio} == {1.5}
    assert {row.against.split(",")[0] for row in found} == {*MODELS}


def test_targets_are_about_igb() -> None:
    judged = [row for row in table(300, 200) if row.target]
    assert {row.against.split(",")[0] for row in judged} == {"igb"}
    assert [(row.what.rpartition(": ")[0], str(row.target)) for row in judged[::2]] == [
        ("TCP, one stream", ">= 1"),
        ("TCP, one stream, by processor time", ">= 1.2"),
        ("UDP, 18 bytes, received", ">= 1"),
        ("ping, average", "<= 1.5"),
    ]
    assert {row.verdict for row in judged} == {"met"}
    assert {row.verdict for row in table(301, 200) if row.target} == {"met", "not met"}


def test_the_plot_has_the_ratios_to_igb() -> None:
    found = ratios(table(300, 200))
    assert found.keys() == CARDS.keys()
    assert all([*bars] == [figure.name for figure in FIGURES] for bars in found.values())


def test_the_processor_time_of_a_process_is_that_of_all_its_threads() -> None:
    before, began = seconds_of(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert 0.08 <= seconds_of(os.getpid()) - before <= 0.3
