"""The commands in guests refuse what they cannot do before they change anything."""

from __future__ import annotations

import subprocess

import pytest

from vmcoredd.qemu.initramfs import INSIDE

USAGE = 2


@pytest.mark.parametrize(
    "words",
    [
        *(["join-wires", *rest] for rest in ([], ["-h"], ["lo"], ["lo="], ["=lo"], ["lo=lo"])),
        *(["join-wires", *rest] for rest in (["a=b=c"], ["-x=y"])),
        *(["start-traffic", *rest] for rest in ([], ["-h"], ["1"], ["1", "0"], ["1", "x"])),
        ["start-traffic", "1", "2", "3"],
    ],
)
def test_wrong_arguments_are_answered_with_the_usage(words: list[str]) -> None:
    name, *rest = words
    done = subprocess.run(["sh", INSIDE / name, *rest], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert done.stderr.startswith(f"usage: {name} ")


def test_an_interface_that_is_not_there_is_named() -> None:
    command = ["sh", INSIDE / "join-wires", "lo=no-such"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "join-wires: no interface no-such here\n")
