"""Which of the kernel's selftests of network drivers run here, and how each case must end.

python tests/support/selftests_table.py      # writes the table into docs/reference/selftests.md

A selftest that does not ask whether a driver has what it tests fails there. Such a case must show
why in what it prints, so that a failure for another reason is found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from selftests import Case

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/selftests.md"
PASS, SKIP, FAIL = "pass", "skip", "fail"
KERNEL = (6, 12)
"""Whose netlink families and attributes the rows are for; what always passes does so on any."""


@dataclass(frozen=True)
class Row:
    """Cases (a pattern of their names), how they end, what they say then (a pattern), and why."""

    cases: str
    ends: str = PASS
    says: str = ""
    why: str = ""

    def check(self, case: Case) -> None:
        """Raises AssertionError if the case did not end as it must."""
        assert case.outcome == self.ends, case
        assert re.search(self.says, f"{case.directive}\n{case.notes}"), (self.says, case)


@dataclass(frozen=True)
class Selftest:
    """A program with its arguments, the number of cases that pass, and its cases.

    `long`: it takes long, or tells little.
    """

    program: str
    passes: int
    rows: Sequence[Row]
    arguments: str = ""
    long: bool = False
    seconds: float = 60.0

    @property
    def everywhere(self) -> bool:
        """Whether it ends alike on every kernel: all its cases pass."""
        return all(row.ends == PASS for row in self.rows)

    @property
    def command(self) -> str:
        """What runs it, in the folder of the selftests."""
        start = f"python3 {self.program}" if "/" in self.program else f"{PROGRAMS} {self.program}"
        return f"{start} {self.arguments}"

    @property
    def name(self) -> str:
        """The last part of the program's path, without its suffix."""
        return Path(self.program).stem

    def row(self, case: Case) -> Row:
        """Returns the first row that has the case. Raises AssertionError."""
        found = [row for row in self.rows if fnmatchcase(case.name, f"{self.name}.{row.cases}")]
        assert found or case.name == self.name, f"the table lacks {case}"
        return found[0] if found else self.rows[0]

    def check(self, cases: Sequence[Case]) -> None:
        """Raises AssertionError if cases did not end as they must, or a row has none."""
        rows = [(self.row(case), case) for case in cases]
        for row, case in rows:
            row.check(case)
        assert {row for row, _ in rows} == set(self.rows), "a row has no case"
        assert sum(case.outcome == PASS for case in cases) == self.passes, cases


def written(page: str) -> str:
    """Returns the page with its table regenerated."""
    lines = "\n".join(_lines())
    before, found, rest = page.partition("<!-- selftests -->\n")
    _, ends, after = rest.partition("<!-- end -->")
    if not found or not ends:
        raise ValueError(f"{PAGE.name} has no section for the table")
    return f"{before}{found}\n{lines}\n\n{ends}{after}"


def _lines() -> Iterator[str]:
    yield "| selftest | cases | how they end | why |"
    yield "|---|---|---|---|"
    for test in TABLE:
        for row in test.rows:
            number = f"{test.passes} " if row.ends == PASS and _passing(test) == 1 else ""
            yield f"| {_told(test)} | `{row.cases}` | {number}{row.ends} | {row.why} |"


def _passing(test: Selftest) -> int:
    return Counter(row.ends for row in test.rows)[PASS]


def _told(test: Selftest) -> str:
    return f"`{test.program}`" + (" (long)" if test.long else "")


NO_CHANNELS = "no `get_channels`: the driver chooses its queues when it loads"
NO_QSTATS = "no statistics for each queue (`netdev_stat_ops`)"
NO_IRQ = "the driver does not say which interrupt a NAPI has (`netif_napi_set_irq`)"
NOT_THE_HASH = (
    "the driver calls the card's hash one of addresses (`PKT_HASH_TYPE_L3` in its `sge.c`), "
    "so the kernel computes one of its own for each flow"
)
UNSUPPORTED = "Operation not supported"
PROGRAMS = "bash /selftests/selftest_programs.sh"
SOME = "ipv4.data_same ipv4.ack ipv4.tcp_csum ipv6.data_same"

TABLE = (
    Selftest("drivers/net/ping.py", 2, (Row("test_default_*"),), "-t 'test_default_*'", long=True),
    Selftest(
        "drivers/net/queues.py",
        2,
        (
            Row("get_queues"),
            Row("addremove_queues", FAIL, UNSUPPORTED, NO_CHANNELS),
            Row("check_down"),
            Row("check_xsk", FAIL, "xsk attr on queue we configured", "Linux has it since 6.14"),
        ),
        long=True,
    ),
    Selftest(
        "drivers/net/stats.py",
        2,
        (
            Row("check_pause", FAIL, "driver does not report stats", "no `get_pause_stats`"),
            Row("check_fec"),
            Row("check_fec_hist", SKIP, "FEC", "no `get_fec_stats`"),
            Row("pkt_byte_sum", SKIP, "qstats not supported", NO_QSTATS),
            Row("qstat_by_ifindex", SKIP, "No ifindex supports qstats", NO_QSTATS),
            Row("check_down", SKIP, "qstats not supported", NO_QSTATS),
            Row("procfs_hammer"),
            Row("procfs_downup_hammer", FAIL, UNSUPPORTED, NO_CHANNELS),
        ),
        long=True,
    ),
    Selftest("drivers/net/hw/csum.py", 12, (Row("*"),), seconds=120.0),
    Selftest("gro", 4, (Row("*"),), SOME),
    Selftest(
        "toeplitz",
        0,
        (Row("*", FAIL, "rx_hash 0x.* != expected 0x", NOT_THE_HASH),),
        "tcp.4 udp.4 tcp.6 udp.6",
        long=True,
        seconds=90.0,
    ),
    Selftest("drivers/net/hw/uso.py", 4, (Row("test_uso.*"),), long=True),
    Selftest(
        "drivers/net/hw/irq.py",
        0,
        (
            Row("check_irqs_reported", FAIL, "Check failed 0 < 1", NO_IRQ),
            Row("check_*", SKIP, "no NAPI with IRQ", NO_IRQ),
        ),
        long=True,
    ),
    Selftest("drivers/net/hw/tso.py", 0, (Row("*", FAIL, UNSUPPORTED, NO_QSTATS),), long=True),
    Selftest(
        "drivers/net/hw/gro_hw.py",
        0,
        (Row("test_gro_*", SKIP, "rx-gro-hw", "the driver has no GRO in hardware"),),
        long=True,
    ),
)

if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
