"""Traces of two kernels' drivers, compared: the same steps, until one is told something else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cliruns import spawned
from guest_traces import traced

from tests.support.schema import problems
from vmcoredd.cli.exit_codes import Exit

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="boots two guests of its own: VMCOREDD_THOROUGH=1, make test-long",
    ),
]
UP = "ip link set eth0 up"
LARGER = "ip link set eth0 mtu 9000"


def test_two_kernels_take_the_same_steps_until_one_is_told_something_else(tmp_path: Path) -> None:
    old = traced("debian:6.1", UP, tmp_path / "old")
    new = traced("debian:6.12", f"{UP}\n{LARGER}", tmp_path / "new")
    found = spawned("diff", old, new, "--json")
    assert found.returncode == Exit.INCOMPLETE, found.stderr
    record = json.loads(found.stdout)
    assert problems(record) == []
    assert record["common_steps"] == record["a_steps"] > 1000
    (place,) = record["places"]
    assert place["a"]["steps"] == 0
    assert any(
        "command   VI_RXMODE" in line and "mtu=0x2328" in line for line in place["b"]["lines"]
    )
    assert record["differing_answers"] == 0
