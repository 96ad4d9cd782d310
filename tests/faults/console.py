"""What the kernel says: lines of its log that are worth a row, without what differs each time."""

from __future__ import annotations

import re
from collections.abc import Iterator

WARNING = 4
"""The least severe level that counts (include/linux/kern_levels.h)."""
LINE = re.compile(r"<(\d+)>\[ *\d+\.\d+\] (.*)")
OURS = re.compile(r"cxgb4|\beth\d|NETDEV WATCHDOG|vfio|AER|pcieport")
DEATH = re.compile(r"(?:(?<!watchdog: )BUG: |Oops: |general protection fault|Kernel panic)")
WHERE = re.compile(r"RIP: 0010:(\w+)")
WARNS = re.compile(r"WARNING: .* at (?:\S*/)?([\w-]+\.c):\d+ (\w+)")
LINK = re.compile(r"link down")
MOST = 6
"""Lines that a row keeps."""
_CHANGES = (
    (re.compile(r"^cxgb4 "), ""),
    (re.compile(r"\b0000:[0-9a-f]{2}:00\.0:? ?"), ""),
    (re.compile(r" ?\beth\d+(?: \(unregistering\))?:? ?"), " "),
    (re.compile(r"\b0x[0-9a-f]{6,16}\b|\b[0-9a-f]{16}\b"), "#"),
    (re.compile(r"\b\d{4,}\b"), "#"),
    (re.compile(r"\birq \d+"), "irq #"),
)


def said(log: str) -> list[str]:
    """Returns the lines of `dmesg --raw` that are warnings or worse of the driver, each once."""
    found = list(dict.fromkeys(_worth(log)))
    return found[:MOST] + ([f"and {len(found) - MOST} more"] if len(found) > MOST else [])


def _worth(log: str) -> Iterator[str]:
    for level, line in LINE.findall(log):
        warns = WARNS.search(line)
        if warns:
            yield f"WARNING in {warns[2]}() ({warns[1]})"
        elif OURS.search(line) and (int(level) & 7 <= WARNING or LINK.search(line)):
            yield changed(line)


def changed(line: str) -> str:
    """Returns a line without addresses, names and large numbers."""
    for pattern, replacement in _CHANGES:
        line = pattern.sub(replacement, line)
    return " ".join(line.split())


def died(log: str) -> str:
    """Returns how a kernel failed, and where: empty if it did not."""
    if not DEATH.search(log):
        return ""
    where = WHERE.search(log)
    return f"the kernel oopses in {where[1]}()" if where else "the kernel oopses"
