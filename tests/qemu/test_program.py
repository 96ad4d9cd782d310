"""Finding a QEMU that can run guests, and its command line. QEMUs that cannot are small scripts."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vmcoredd.qemu.errors import GuestError, QemuUnusable
from vmcoredd.qemu.program import (
    Debugging,
    HostEnds,
    Machine,
    OnPanic,
    adapter,
    arguments,
    find_qemu,
    kernel_command_line,
    nic_pairs,
    probe,
)

MACHINE = Machine(Path("bzImage"), Path("initramfs"))
ENDS = HostEnds(control=5, monitor=6, share=Path("/run/share"), console=7)


def following(words: list[str], option: str) -> list[str]:
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_the_first_adapter_is_at_00_02_0():
    device = json.loads(adapter(0, Path("/run/t6.sock")))
    assert device["addr"] == "02.0"
    assert device["socket"] == {"type": "unix", "path": "/run/t6.sock"}


def test_every_adapter_has_its_own_slot():
    words = following(arguments(MACHINE, ENDS, [Path("a"), Path("b")]), "-device")
    devices = [json.loads(word) for word in words if word.startswith("{")]
    assert [device["addr"] for device in devices] == ["02.0", "03.0"]
    assert len({device["id"] for device in devices}) == 2


def test_an_adapter_may_sit_behind_a_root_port_of_its_own():
    words = following(
        arguments(replace(MACHINE, root_ports=True), ENDS, [Path("a")] * 2), "-device"
    )
    ports = [json.loads(word) for word in words if "pcie-root-port" in word]
    assert [(port["id"], port["addr"]) for port in ports] == [("port0", "02.0"), ("port1", "03.0")]
    assert len({port["chassis"] for port in ports}) == 2
    devices = [json.loads(word) for word in words if "vfio-user" in word]
    assert [device["bus"] for device in devices] == ["port0", "port1"]


def test_folders_of_the_host_are_exported_read_only_each_by_itself():
    machine = replace(MACHINE, exports=(Path("/usr"), Path("/a,b")))
    words = arguments(machine, ENDS, [])
    exports = [word for word in following(words, "-fsdev") if "id=root" in word]
    assert len(exports) == 2
    assert all("readonly=on" in export for export in exports)
    assert "path=/a,,b," in exports[1]
    functions = [word for word in following(words, "-device") if "virtio-9p" in word]
    assert [f"addr=1e.{function}" in functions[function] for function in (1, 2)] == [True, True]


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


def test_commas_in_paths_do_not_start_an_option():
    ends = replace(ENDS, share=Path("/run/a,b"))
    assert any("path=/run/a,,b,sec" in word for word in arguments(MACHINE, ends, []))


def test_a_shell_gets_the_terminal_and_is_logged():
    words = arguments(replace(MACHINE, shell=True), ENDS, [])
    assert "stdio,mux=on,signal=off,logfile=/dev/fdset/1,id=console" in following(words, "-chardev")
    assert "guest.shell" in following(words, "-append")[0].split()


def test_a_panic_ends_or_pauses_the_guest():
    paused = replace(MACHINE, on_panic=OnPanic.PAUSE)
    assert "panic=1" in kernel_command_line(MACHINE).split()
    assert "panic=0" in kernel_command_line(paused).split()
    assert following(arguments(paused, ENDS, []), "-action") == ["reboot=shutdown,panic=pause"]


def test_a_busy_host_does_not_make_the_kernel_give_up_its_timer():
    assert "no_timer_check" in kernel_command_line(MACHINE).split()


def test_without_crashkernel_no_memory_is_reserved():
    assert "crashkernel" not in kernel_command_line(replace(MACHINE, crashkernel=""))


def test_debuggers_get_sockets_at_any_path():
    debugging = Debugging(monitor=Path("/run/a=b,c d"), gdb=Path("/run/gdb"))
    words = arguments(MACHINE, replace(ENDS, debugging=debugging), [])
    assert following(words, "-qmp") == ["chardev:monitor", "chardev:extra-qmp"]
    assert following(words, "-gdb") == ["chardev:extra-gdb"]
    made = [word for word in following(words, "-chardev") if "server=on,wait=off" in word]
    assert made == [
        "socket,id=extra-qmp,path=/run/a=b,,c d,server=on,wait=off",
        "socket,id=extra-gdb,path=/run/gdb,server=on,wait=off",
    ]


def test_an_adapters_socket_has_any_path_that_json_can_hold():
    odd = "/run/a,b \"c'\\=\u00e9"
    assert json.loads(adapter(0, Path(odd)))["socket"]["path"] == odd
    with pytest.raises(GuestError, match=r"'/run/\\udcff': QEMU needs a socket's path in UTF-8"):
        adapter(0, Path("/run/\udcff"))


def fake(folder: Path, version: str, devices: str, code: int = 0) -> tuple[str]:
    path = folder / "qemu-system-x86_64"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$1" in --version) echo "{version}";; -device) echo \'{devices}\';; esac\n'
        f"exit {code}\n"
    )
    path.chmod(0o755)
    return (str(path),)


def test_a_qemu_with_the_device_is_accepted(tmp_path):
    found = probe(fake(tmp_path, "QEMU emulator version 10.1.0", 'name "vfio-user-pci", bus PCI'))
    assert found.version == "10.1.0"


def test_an_old_qemu_is_refused_with_the_version_needed(tmp_path):
    command = fake(tmp_path, "QEMU emulator version 7.2.15", 'name "vfio-pci", bus PCI')
    with pytest.raises(QemuUnusable, match=r"7\.2\.15 has no vfio-user-pci: 10\.1 or newer"):
        probe(command)


def test_a_qemu_that_does_not_start_is_refused_with_its_error(tmp_path):
    path = tmp_path / "qemu"
    path.write_text("#!/bin/sh\necho libpixman is missing >&2\nexit 127\n")
    path.chmod(0o755)
    with pytest.raises(QemuUnusable, match="libpixman is missing"):
        probe((str(path),))


def test_a_missing_qemu_is_refused(tmp_path):
    with pytest.raises(QemuUnusable, match="does not respond"):
        probe((str(tmp_path / "none"),))


def test_another_program_of_that_name_is_refused(tmp_path):
    with pytest.raises(QemuUnusable, match="does not report its version"):
        probe(fake(tmp_path, "hello", ""))


def test_two_nics_of_a_model_are_joined_by_a_hub_behind_the_adapters():
    words = arguments(replace(MACHINE, nic_pairs=("igb", "e1000e")), ENDS, [Path("a")])
    devices = [json.loads(word) for word in following(words, "-device") if word.startswith("{")]
    nics = [(each["driver"], each["netdev"], each["bus"]) for each in devices if "netdev" in each]
    assert nics == [
        ("igb", "hub0.0", "port1"),
        ("igb", "hub0.1", "port2"),
        ("e1000e", "hub1.0", "port3"),
        ("e1000e", "hub1.1", "port4"),
    ]
    slots = [each["addr"] for each in devices if "addr" in each]
    assert slots == ["02.0", "03.0", "04.0", "05.0", "06.0"]


def test_a_guest_has_an_iommu_only_if_asked():
    """QEMU's virtual one has to be there before the devices that it serves."""
    without, words = (arguments(replace(MACHINE, iommu=on), ENDS, [Path("a")]) for on in (0, 1))
    assert not any("iommu" in word for word in without)
    assert words.index("intel-iommu,caching-mode=on") < words.index("vmcoreinfo")


def test_nics_need_slots_too():
    with pytest.raises(GuestError, match="28 adapters do not fit"):
        arguments(replace(MACHINE, nic_pairs=("igb",)), ENDS, [Path("a")] * 26)


@pytest.mark.interop
def test_qemu_has_these_nics_and_joins_them():
    """A machine that is never started; its monitor tells what is joined."""
    models = ("igb", "e1000e", "vmxnet3")
    machine = ["-nodefaults", "-no-user-config", "-display", "none", "-M", "q35", "-S"]
    command = [*find_qemu().command, *machine, *nic_pairs(models, 0), "-monitor", "stdio"]
    said = subprocess.run(
        command, input="info network\nquit\n", capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    for number, model in enumerate(models):
        hub = said.stdout.partition(f"hub {number}")[2].partition("\nhub ")[0]
        assert hub.count(f"model={model}") == 2, said.stdout
