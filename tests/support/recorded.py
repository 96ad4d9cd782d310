"""What `record-adapters` wrote in a guest: the answers of ethtool, ip and debugfs.

before = recorded.answers(path)
recorded.statistics(before["ethtool -S eth0"])["tx_frames_ok"]
"""

from __future__ import annotations

import re
from pathlib import Path

COUNTER = re.compile(r"^ +(\S+) *: (\d+)$", re.MULTILINE)

LABEL, COLUMN = 12, 17
"""Characters of sge_qinfo's labels and columns (cxgb4_debugfs.c)."""


def answers(path: Path) -> dict[str, str]:
    """Returns the output of each command, by command."""
    parts = re.split(r"(?m)^== (.*)\n", path.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def statistics(said: str) -> dict[str, int]:
    """Returns the counters of `ethtool -S` up to those of the loopback, which repeat names."""
    return {name: int(value) for name, value in COUNTER.findall(said.partition("---")[0])}


def queues(said: str, kind: str) -> list[dict[str, str]]:
    """Returns the queues of a type (`Ethernet`) in debugfs' sge_qinfo: `{"TxQ ID": "72", ...}`."""
    found = []
    for block in said.split("\n\n"):
        rows = [(line[:LABEL].strip(" :"), line[LABEL:]) for line in block.splitlines()]
        for at in range(0, len(rows[0][1]) if rows else 0, COLUMN):
            found.append({name: cells[at : at + COLUMN].strip() for name, cells in rows})
    return [queue for queue in found if queue.get("QType") == kind]
