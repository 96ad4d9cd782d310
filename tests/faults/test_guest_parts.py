"""What a guest prints becomes a row: the kernel's log without what differs each time, and facts."""

from __future__ import annotations

from pathlib import Path

from . import console, outcomes, rows
from .cases import Case, Phase
from .guest import HARDWARE, MEMORIES, flag_for
from .outcomes import Said
from .rows import Row

LOG = """\
<6>[   50.043564] cxgb4 0000:01:00.0: 50 MSI-X vectors allocated, nic 16 eoqsets 16 per uld 0
<3>[   51.165358] cxgb4 0000:01:00.0: CIM IBQ parity error (0x10000)
<1>[   51.234684] cxgb4 0000:01:00.0: encountered fatal error, adapter stopped
<1>[   52.234684] cxgb4 0000:01:00.0: encountered fatal error, adapter stopped
<3>[   52.300000] cxgb4 0000:01:00.0: command 0x8 in mailbox 4 timed out after 10012 ms
<6>[   53.000000] cxgb4 0000:01:00.0 eth0: link down
<3>[   53.100000] systemd[1]: nobody asks
"""
OOPS = """\
<1>[   60.000000] BUG: kernel NULL pointer dereference, address: 0000000000000038
<4>[   60.000001] RIP: 0010:cudbg_collect_sge_indirect+0x53/0x240 [cxgb4]
"""


def test_the_drivers_warnings_are_said_once_without_what_differs_each_time() -> None:
    assert console.said(LOG) == [
        "CIM IBQ parity error (0x10000)",
        "encountered fatal error, adapter stopped",
        "command 0x8 in mailbox 4 timed out after # ms",
        "link down",
    ]


def test_of_many_lines_the_first_are_kept_and_the_others_counted() -> None:
    many = "".join(f"<3>[    1.0] cxgb4 0000:01:00.0: error {n}\n" for n in range(9))
    assert console.said(many)[-2:] == ["error 5", "and 3 more"]


def test_an_oops_is_named_by_its_function() -> None:
    assert console.died(OOPS) == "the kernel oopses in cudbg_collect_sge_indirect()"
    assert console.died(LOG) == ""


def test_a_kernel_that_its_watchdog_finds_slow_did_not_die() -> None:
    assert console.died(OOPS.replace("BUG: ", "watchdog: BUG: soft lockup - CPU#0 ")) == ""


def test_a_step_that_failed_has_the_name_of_its_error() -> None:
    said = Said.parsed(f"bind=No such device or address\ninterfaces=0\nlog:\n{LOG}")
    assert (outcomes.bound(said), said.log) == ("ENXIO", LOG)


def test_traffic_flows_is_lost_or_stops() -> None:
    assert outcomes.flowed(Said({"answered": "10", "carrier": "1"}, "")) == "flows"
    assert outcomes.flowed(Said({"answered": "4", "carrier": "1"}, "")) == "frames are lost"
    assert outcomes.flowed(Said({"answered": "", "carrier": "0"}, "")) == "stops, no carrier"


def test_a_dump_has_what_shows_a_loss() -> None:
    assert flag_for(["EDC1"]) == MEMORIES
    assert flag_for(["CIM_LA"]) == flag_for([]) == HARDWARE
    assert flag_for(["EDC1", "MEMINFO"]) == HARDWARE | MEMORIES


def test_rows_are_written_in_the_order_of_the_faults_and_read_back(tmp_path: Path) -> None:
    crash = Row("T6", "firmware-crash", Phase.TRAFFIC, "stops", ("a", "b"), "6.12", seconds=1.5)
    healthy = Row("T6", "", Phase.PROBE, "bound")
    unknown = Row("T6", "no-longer-a-fault", Phase.PROBE, "bound")
    rows.write([crash, unknown, healthy], tmp_path / "rows")
    assert [*rows.read(tmp_path / "rows").values()] == [healthy, crash]


def test_a_row_is_measured_anew_when_its_fault_is_another() -> None:
    one, other = (Case("T6", fault, Phase.OPEN) for fault in ("le-busy", "le-status"))
    assert rows.hash_of(one) == rows.hash_of(one) != rows.hash_of(other)
