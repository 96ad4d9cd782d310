"""QEMU's command line for a guest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vmcoredd.qemu.arguments import Ends, Machine, OnPanic, adapter, arguments, command_line
from vmcoredd.qemu.errors import GuestError

MACHINE = Machine(Path("bzImage"), Path("initramfs"))
ENDS = Ends(control=5, monitor=6, share=Path("/run/share"), console=Path("console.log"))


def following(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_the_first_adapter_sits_at_00_02_0():
    device = json.loads(adapter(0, Path("/run/t6.sock")))
    assert device["addr"] == "02.0"
    assert device["socket"] == {"type": "unix", "path": "/run/t6.sock"}


def test_every_adapter_has_its_own_slot():
    words = following(arguments(MACHINE, ENDS, [Path("a"), Path("b")]), "-device")
    devices = [json.loads(word) for word in words if word.startswith("{")]
    assert [device["addr"] for device in devices] == ["02.0", "03.0"]
    assert len({device["id"] for device in devices}) == 2


def test_more_adapters_than_slots_are_refused():
    with pytest.raises(GuestError, match="28 adapters do not fit"):
        arguments(MACHINE, ENDS, [Path("a")] * 28)


def test_the_guests_memory_is_shared_with_the_server():
    (memory,) = following(arguments(MACHINE, ENDS, []), "-object")
    assert memory.startswith("memory-backend-memfd,")
    assert memory.endswith("share=on")


def test_the_cpu_lets_the_kernel_read_a_page_at_address_0():
    assert following(arguments(MACHINE, ENDS, []), "-cpu") == ["max,-smap"]


def test_the_second_serial_port_is_the_control_line():
    words = arguments(MACHINE, ENDS, [])
    assert following(words, "-serial") == ["chardev:console", "chardev:control"]
    assert "socket,id=control,fd=5" in following(words, "-chardev")


def test_commas_in_paths_do_not_begin_an_option():
    ends = replace(ENDS, share=Path("/run/a,b"))
    assert any("path=/run/a,,b,sec" in word for word in arguments(MACHINE, ends, []))


def test_a_shell_has_the_terminal_and_is_logged():
    words = arguments(replace(MACHINE, shell=True), ENDS, [])
    assert "stdio,mux=on,signal=off,logfile=console.log,id=console" in following(words, "-chardev")
    assert "guest.shell" in following(words, "-append")[0].split()


def test_a_panicked_guest_ends_unless_it_shall_pause():
    paused = replace(MACHINE, on_panic=OnPanic.PAUSE)
    assert "panic=1" in command_line(MACHINE).split()
    assert "panic=0" in command_line(paused).split()
    assert following(arguments(paused, ENDS, []), "-action") == ["reboot=shutdown,panic=pause"]


def test_without_crashkernel_no_memory_is_kept():
    assert "crashkernel" not in command_line(replace(MACHINE, crashkernel=""))


def test_an_extra_monitor_is_a_socket():
    words = arguments(MACHINE, replace(ENDS, extra_monitor=Path("/run/qmp")), [])
    assert following(words, "-qmp") == ["chardev:monitor", "unix:/run/qmp,server=on,wait=off"]
