"""Wrong values of `vmcoredd guest` are refused by name before anything is emulated or booted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliruns import Run
from kernel_parts import image, module

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.guest_options import memory_for
from vmcoredd.cli.named_cards import named_cards
from vmcoredd.cli.served_cards import Setup, serving

CARD = ["--card", "t62100-cr"]
KDUMP = ["kdump", *CARD, "-o", "vmcore"]
SHELL = ["shell", *CARD]


@pytest.mark.parametrize(
    ("arguments", "option", "says"),
    [
        ([*KDUMP, "--memory", "1X"], "--memory", "1X is not a size"),
        ([*KDUMP, "--memory", "0M"], "--memory", "0M is not a size"),
        ([*KDUMP, "--memory", "10M"], "--memory", "Linux needs 128M"),
        (["memory", "--monitor", "absent", "-o", "base"], "--monitor", "absent: no such file"),
        (["memory", "--monitor", "file", "-o", "base"], "--monitor", "file: not a socket"),
        ([*KDUMP, "--crashkernel", "foo"], "--crashkernel", "foo is not a size"),
        ([*KDUMP, "--kernel", "2.4"], "--kernel", "no kernel is called 2.4"),
        (["shell"], "--card, --socket", "give one of the two"),
        ([*SHELL, "--socket", "file"], "--socket", "file: not a socket"),
        ([*SHELL, "--gdb", "file"], "--gdb", "file exists and is not a socket"),
        ([*SHELL, "--kernel", "debian:6.13"], "--kernel", "did you mean debian:6.1"),
        ([*KDUMP, "--kernel", "debian:6.12"], "--kernel", "Use --kernel 6.12, which is built here"),
        ([*KDUMP, "--kernel", "6.8"], "--kernel", "There are 6.1, 6.12, newest, debian:6.1"),
        ([*KDUMP, "--traffic", "--wire", "0=open"], "--traffic", "a wire between two ports"),
        ([*KDUMP, "--wire", "0=7"], "--wire", "no port a.7"),
        ([*KDUMP, "--pcap", "0=absent/p"], "--pcap", "No such file or directory"),
        ([*KDUMP, "--fault", "a.firmware-dad"], "--fault", "did you mean firmware-dead"),
        ([*KDUMP, "--fault", "a.le-busy@1.5"], "--fault", "le-busy@1.5: not a fault; type FAULT"),
        ([*KDUMP, "--fault", "le-busy@read:PL_WHO"], "--fault", "did you mean PL_WHOAMI"),
        ([*KDUMP, "--fault", "b.firmware-dead"], "--fault", "no card is called b; there is a"),
        ([*SHELL, "--root", "none", "--root", "/usr"], "--root", "none stands alone"),
        (["shell", "--card", "=x"], "--card", "=x: a NAME is a letter"),
        (["shell", "--card", "0=x"], "--card", "0=x: a NAME is a letter"),
        (["shell", "--card", "x y=x"], "--card", "x y=x: a NAME is a letter"),
        ([*SHELL, "--console", "absent/log"], "--console", "No such file or directory"),
        ([*SHELL, "--console", "."], "--console", "Is a directory"),
        ([*SHELL, "--share", "file"], "--share", "File exists"),
        ([*SHELL, "--monitor", "absent/qmp"], "--monitor", "No such file or directory"),
        ([*SHELL, "--monitor", "file"], "--monitor", "file exists and is not a socket"),
        ([*SHELL, "--console", "/dev/null"], "--console", "not a regular file"),
        ([*SHELL, "--root", "//"], "--root", "// cannot be shared: it is all of this machine"),
        ([*SHELL, "--root", "/dev"], "--root", "the guest has its own /dev"),
        ([*SHELL, "--root", "file"], "--root", "name folders below / by their whole path"),
        (["run", *CARD, "--script", "absent"], "--script", "does not exist"),
        (["run", *CARD, "--script", "file", "--seconds", "0"], "--seconds", "greater than"),
    ],
)
def test_a_wrong_value_is_refused_with_the_options_name(
    vmcoredd: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    option: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    result = vmcoredd("guest", *arguments)
    assert result.code == Exit.USAGE
    assert result.err.startswith(f"vmcoredd: {option}: ")
    assert says in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", ["kdump", "live"])
def test_an_output_is_checked_before_anything_is_said(
    vmcoredd: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "there").touch()
    for output, why in (
        ("there", "there: File exists"),
        ("absent/vmcore", "absent: No such file or directory"),
    ):
        result = vmcoredd("guest", command, *CARD, "-o", tmp_path / output)
        assert result.code == Exit.FAILED
        assert result.err.startswith(f"vmcoredd: {tmp_path}/{why}")


def test_a_record_is_not_replaced_unasked(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "vmcore.before").touch()
    result = vmcoredd("guest", "kdump", *CARD, "--traffic", "-o", tmp_path / "vmcore")
    assert result.code == Exit.FAILED
    assert result.err.startswith(f"vmcoredd: {tmp_path}/vmcore.before: File exists")


@pytest.mark.parametrize(
    "size", ["256M", "1G@16M", "512M,high", "1G-4G:192M,4G-:256M", "2G-:256M@16M"]
)
def test_the_kernels_forms_of_crashkernel_are_taken(
    vmcoredd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vmcoredd("guest", *KDUMP, "--crashkernel", size, "--kernel", "2.4")
    assert "--kernel" in result.err  # the first wrong one
    assert "--crashkernel" not in result.err


@pytest.mark.parametrize(
    ("cards", "up", "size"),
    [
        (["t62100-cr"], True, "1536M"),
        (["t540-cr", "t62100-cr"], True, "2560M"),
        (["t540-cr"], False, "1024M"),
    ],
)
def test_the_guests_memory_grows_with_the_ports_that_come_up(
    cards: list[str], up: bool, size: str
) -> None:
    assert memory_for(named_cards(cards), None, up=up) == size
    assert memory_for(named_cards(cards), "700M", up=up) == "700M"


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "served"))
        yield tmp_path / "served"


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (["--card", "t62100-cr"], "--card, --socket: give one of the two, not both"),
        (["--seed", "7"], "--seed: what the adapters on sockets are is their server's"),
        (["--scene", "fresh"], "--scene: what the adapters"),
        (["--map-window"], "--map-window: what the adapters"),
        (["--pcap", "0=port0"], "--pcap: "),
        (["--fault", "firmware-dead"], "--fault: what the adapters"),
        (["--traffic"], "--traffic: what the adapters"),
    ],
)
def test_an_adapter_that_is_served_already_is_not_emulated_too(
    vmcoredd: Run, tmp_path: Path, taken: Path, options: list[str], about: str
) -> None:
    result = vmcoredd("guest", "kdump", "--socket", taken, *options, "-o", tmp_path / "vmcore")
    assert result.code == Exit.USAGE
    assert result.err.startswith(f"vmcoredd: {about}")


def test_a_fault_is_of_the_card_that_it_names_or_of_all(
    capfd: pytest.CaptureFixture[str], small_card: Path
) -> None:
    cards = named_cards([f"left={small_card}", "t520-cr"])
    own = ["left.firmware-dead", "left.firmware-retval=EIO", "left.le-busy@1.5s"]
    faults = [*own, "vpd-slow,for=60.5s"]
    with serving(Setup(cards, 0, "fresh", faults=faults)) as (adapters, loaded):
        assert len(adapters) == 2
        assert [[*card.faults] for card in loaded.values()] == [
            ["firmware-dead", "firmware-retval=EIO", "vpd-slow"],
            ["vpd-slow"],
        ]
        assert loaded["left"].triggers.armed == ["le-busy@1.5s"]
    told = capfd.readouterr().err
    assert f"card left: {small_card} at 0000:00:02.0, scene fresh, fault firmware-dead, " in told


def test_a_module_that_does_not_fit_is_told_with_its_name(
    vmcoredd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is the user's own: one in small, without a module."""
    (tmp_path / "bzImage").write_bytes(image())
    (tmp_path / "cxgb4.ko").write_bytes(module(vermagic="1.0 SMP ", name="cxgb4"))
    kernel = ["--kernel", tmp_path / "bzImage", "--module", tmp_path / "cxgb4.ko"]
    result = vmcoredd("guest", *SHELL, *kernel, "--console", tmp_path / "console")
    assert result.code == Exit.FAILED
    assert f"vmcoredd: {tmp_path}/cxgb4.ko was built for another kernel:" in result.err
    assert "the kernel's is 9.9.0-mine\n" in result.err
