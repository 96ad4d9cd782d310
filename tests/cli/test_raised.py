"""`dump --from` and `emulate --from`: a card raised from a dump."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run, emulated, ready, spawned

from tests.support.schema import problems
from vmcoredd.cli.exit_codes import Exit


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, small_card: Path) -> Path:
    """A vmcore of a T6 and a T5, each with a fault."""
    path = tmp_path_factory.mktemp("raised") / "vmcore"
    cards = ("--card", small_card, "--card", "t520-cr")
    done = spawned("dump", *cards, "--fault", "cim-host-hangs", "-o", path)
    assert done.returncode == Exit.INCOMPLETE
    return path


def test_a_raised_card_is_dumped_again(vmcoredd: Run, broken: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    result = vmcoredd("dump", "--from", broken, "--index", "1", "-o", again)
    assert result.code == Exit.INCOMPLETE
    assert "T520-CR" in result.out
    assert "CIM_QCFG is not in the dump: -29: system error, -16: -EBUSY" in result.out
    equal = vmcoredd("diff", broken, again, "--index", "1")
    assert (equal.code, equal.out) == (Exit.OK, "52 entities are equal, 0 differ\n")
    assert f"{broken}: raised without CIM_QCFG, " in result.err


def test_a_raised_card_is_served(vmcoredd: Run, broken: Path, tmp_path: Path) -> None:
    socket, again = tmp_path / "raised.sock", tmp_path / "again"
    with emulated("--from", broken, "--socket", socket) as server:
        said = ready(server)
        assert (said["scene"], problems(said)) == ("raised", [])
        assert {lack["what"] for lack in said["lacking"]} >= {"CIM_QCFG", "CIM_LA"}
        state = vmcoredd("control", socket, "--json").json
        assert (state["card"], state["scene"]) == ("raised", "raised")
        assert vmcoredd("dump", "--socket", socket, "-o", again).code == Exit.INCOMPLETE
    assert vmcoredd("diff", broken, again).code == Exit.OK


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--index", "0"), "--index: it needs --from"),
        (("--from", "{broken}", "--index", "9"), "note 9"),
        (("--from", "{nothing}"), "No such file"),
        (("--from", "{text}"), "vmcoredd: {text}: "),
    ],
)
def test_what_raises_no_card_is_said(
    vmcoredd: Run, broken: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    text = tmp_path / "text"
    text.write_text("not a vmcore")
    names = {"broken": broken, "nothing": tmp_path / "nothing", "text": text}
    given = [word.format(**names) for word in words]
    result = vmcoredd("dump", *given, "-o", tmp_path / "again")
    assert result.code in (Exit.USAGE, Exit.BAD_FILE, Exit.FAILED)
    assert says.format(**names) in result.err
    assert not (tmp_path / "again").exists()


def test_a_card_is_named_or_raised_but_not_both(vmcoredd: Run, broken: Path) -> None:
    result = vmcoredd("emulate", "--card", "t520-cr", "--from", broken, "--socket", "x.sock")
    assert result.code == Exit.USAGE
    assert "one of them" in result.err
    assert vmcoredd("emulate", "--card", "t520-cr", "--scene", "raised", "--socket", "x").code == (
        Exit.USAGE
    )


def test_what_only_drivers_knew_can_be_left_out(
    vmcoredd: Run, broken: Path, tmp_path: Path
) -> None:
    from vmcoredd import cudbg, vmcore

    with vmcore.Reader(broken) as reader:
        payload = bytearray(reader.payload(reader.device_dumps[0].index))
    dump = tmp_path / "dump.bin"
    dump.write_bytes(payload)
    assert vmcoredd("dump", "--from", dump, "--compress", "none", "-o", tmp_path / "v").code == (
        Exit.INCOMPLETE
    )
    with vmcore.Reader(tmp_path / "v") as reader:
        payload = bytearray(reader.payload(reader.device_dumps[0].index))
    start = cudbg.Dump(memoryview(payload)).entity("TID_INFO").start
    payload[start + 8] ^= 1  # ntids
    attached = tmp_path / "attached"
    attached.write_bytes(payload)
    result = vmcoredd("diff", broken, attached)
    assert result.code == Exit.INCOMPLETE
    assert "`--card-only` leaves out" in result.out
    result = vmcoredd("diff", "--card-only", broken, attached)
    assert result.code == Exit.OK
    lines = result.out.splitlines()
    assert any(line.startswith("TID_INFO: not compared in part: ntids, ") for line in lines)
