"""The command with other programs: readelf(1), and Linux in a guest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cliruns import dying, spawned
from readers import readelf

from vmcoredd import vmcore
from vmcoredd.cli.exit_codes import Exit

pytestmark = pytest.mark.interop

SOME_ACCESSES = 40_000
"""More than the device log takes, and fewer than a whole dump."""
GUEST_SECONDS = 600.0


def test_readelf_reads_the_vmcore_of_a_killed_server(tmp_path: Path) -> None:
    output = tmp_path / "vmcore"
    with dying(tmp_path / "sock", SOME_ACCESSES):
        done = spawned("dump", "--socket", tmp_path / "sock", "-o", output)
    assert done.returncode == Exit.INCOMPLETE
    lines = [line.split() for line in readelf(output, "-n")]
    notes = [words[:2] for words in lines if words[:1] in (["LINUX"], ["CORE"])]
    assert notes[0] == ["LINUX", "0x02000fec"]
    assert ["CORE", "0x00000150"] in notes
    assert "CORE" in readelf(output, "-h")[7]


@pytest.mark.guest
def test_live_adds_the_adapters_dump_to_a_panicked_guests_memory(prepared, tmp_path: Path) -> None:
    output = tmp_path / "vmcore"
    arguments = ["--card", "t62100-cr", "--panic", "-o", output, "--json"]
    done = spawned("guest", "live", *arguments, timeout=GUEST_SECONDS)
    assert done.returncode == Exit.OK, done.stderr
    (adapter,) = json.loads(done.stdout)["adapters"]
    assert (adapter["good"], adapter["failed"]) == (50, 2)
    with vmcore.Reader(output) as reader:
        owners = [note.owner for note in reader.notes]
        assert reader.damage == ()
    assert owners[0] == "LINUX"
    assert "VMCOREINFO" in owners


@pytest.mark.guest
def test_run_fails_when_the_server_of_a_card_dies_under_the_driver(prepared, tmp_path) -> None:
    script = tmp_path / "probe.sh"
    script.write_text("#!/bin/sh\nlspci\nload-driver --plain\nsleep 1000\n")
    arguments = ["--card", "t520-cr", "--fault", "server-dies@command:CAPS_CONFIG"]
    arguments += ["--script", script, "--console", tmp_path / "console"]
    done = spawned("guest", "run", *arguments, timeout=GUEST_SECONDS)
    assert done.returncode == Exit.FAILED, done.stderr
    assert "1425:5401" in done.stdout
    assert "vmcoredd: QEMU lost its connection to an adapter\n" in done.stderr


def test_an_unknown_card_is_refused_before_a_guest_boots(tmp_path: Path) -> None:
    done = spawned("guest", "kdump", "--card", "nope", "-o", tmp_path / "vmcore")
    assert done.returncode == Exit.USAGE
    assert "no card is called" in done.stderr
