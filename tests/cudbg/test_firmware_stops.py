"""The firmware crashes, or fails a command, while a dump is taken.

A crash kernel's dump sends one command, DEVLOG, and only where PCIE_FW_PF[7] does not say where the
device log is. The kernel's own code is held against ours in interop/test_kernel_dump.py.
"""

from __future__ import annotations

import pytest
from carddump import CardDump, collect, small

from vmcoredd.chip import T6
from vmcoredd.diagnosis import diagnose


def dumped(*faults: str) -> CardDump:
    return collect(small(T6, *faults), "none")


def rules(made: CardDump) -> list[str]:
    return [finding.rule for finding in diagnose(made.dump).findings]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("firmware-asserts@command:DEVLOG", -5),
        ("firmware-crash@command:DEVLOG", -6),
        ("firmware-loses-command@command:DEVLOG", -110),
        ("firmware-retval=ENOMEM@command:DEVLOG", -12),
    ],
)
def test_a_command_that_fails_costs_the_device_log_alone(fault: str, error: int) -> None:
    made = dumped("no-devlog-pointer", fault)
    assert made.codes("DEV_LOG") == (-29, error, 0)
    sound = dumped()
    names = [entity.name for entity in sound.dump.entities]
    assert [name for name in names if made.codes(name) != sound.codes(name)] == ["DEV_LOG"]
    assert {"entity-failed", "device-log-not-found"} <= {*rules(made)}


@pytest.mark.parametrize("access", ["read:PCIE_FW", "read:PCIE_FW_PF[7]"])
def test_a_crash_before_the_registers_are_read_is_seen(access: str) -> None:
    made = dumped(f"firmware-crash@{access}")
    assert rules(made)[0] == "firmware-crash"


def test_a_crash_before_the_device_log_is_read_has_its_last_words_there() -> None:
    made = dumped("firmware-crash@read:PCIE_FW_PF[7]")
    assert made.table("DEV_LOG")[-1]["message"] == "crash: the firmware has stopped"


def test_a_crash_after_the_registers_were_read_is_in_the_memory_alone() -> None:
    """Where no rule reads: the dump says that the firmware was alive, as it was."""
    healthy, made = dumped(), dumped("firmware-crash@read:CIM_HOST_ACC_CTRL:40")
    assert [*made.card.faults] == ["firmware-crash"]
    assert rules(made) == rules(healthy)
    assert b"crash: the firmware has stopped" in bytes(made.dump.raw("EDC1"))
