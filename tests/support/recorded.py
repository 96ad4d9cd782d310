"""What `record-adapters` wrote in a guest: the answers of ethtool, ip and debugfs.

before = recorded.answers(path)
recorded.statistics(before["ethtool -S eth0"])["tx_frames_ok"]
"""

from __future__ import annotations

import re
from pathlib import Path

COUNTER = re.compile(r"^ +(\S+) *: (\d+)$", re.MULTILINE)


def answers(path: Path) -> dict[str, str]:
    """Returns the output of each command, by command."""
    parts = re.split(r"(?m)^== (.*)\n", path.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def statistics(said: str) -> dict[str, int]:
    """Returns the counters of `ethtool -S` up to those of the loopback, which repeat names."""
    return {name: int(value) for name, value in COUNTER.findall(said.partition("---")[0])}


def queues(said: str) -> list[dict[str, str]]:
    """Returns the queues of debugfs' sge_qinfo: a column of each block as `{"TxQ ID": "72"}`."""
    found = []
    for block in said.split("\n\n"):
        rows = [line.split(":", 1) for line in block.splitlines() if ":" in line]
        columns = zip(*(values.split() for _, values in rows), strict=True)
        names = [name.strip() for name, _ in rows]
        found += [dict(zip(names, column, strict=True)) for column in columns]
    return found


def block(said: str, kind: str) -> list[dict[str, str]]:
    """Returns the queues of a type (`Ethernet`)."""
    return [queue for queue in queues(said) if queue.get("QType") == kind]
