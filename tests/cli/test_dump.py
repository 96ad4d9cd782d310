"""`vmcoredd dump`: adapters into a vmcore."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliruns import Result, Run, emulated, one_line, ready, spawned
from vmcorenotes import FIRST, NOTE_BYTES, SECOND, dumps, notes

from vmcoredd import vmcore
from vmcoredd.cli.commands.dump import dump_names
from vmcoredd.cli.exit_codes import Exit

FILE_LIMIT = 1 << 20


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "vmcore"


@pytest.fixture
def served(tmp_path: Path, small_card: Path) -> Iterator[list[Path]]:
    """The sockets of a small T6 and of a T5."""
    paths = [tmp_path / "t6.sock", tmp_path / "t5.sock"]
    with (
        emulated("--card", small_card, "--socket", paths[0]) as one,
        emulated("--card", "t520-cr", "--socket", paths[1]) as other,
    ):
        ready(one)
        ready(other)
        yield paths


def test_adapters_on_two_sockets_become_two_notes(
    vmcoredd: Run, served: list[Path], output: Path
) -> None:
    result = vmcoredd("dump", "--socket", served[0], "--socket", served[1], "-o", output)
    assert result.code == Exit.OK
    assert result.err == ""
    assert f"{output}: " in result.out
    assert "2 device dumps" in result.out
    assert {name: repr(dump.chip) for name, dump in dumps(output).items()} == {
        FIRST: "T6",
        SECOND: "T5",
    }
    first, second, *others = notes(output)
    assert first == second == ("LINUX", 0x700, NOTE_BYTES)
    assert {owner for owner, _, _ in others} == {"CORE", "VMCOREINFO"}


def test_a_card_in_this_process_gives_the_same_dump_as_over_a_socket(
    vmcoredd: Run, served: list[Path], small_card: Path, output: Path
) -> None:
    other = output.with_name("other")
    vmcoredd("dump", "--socket", served[0], "-o", output)
    vmcoredd("dump", "--card", small_card, "-o", other)
    assert output.read_bytes() == other.read_bytes()


def test_the_summary_says_what_is_in_the_dump_and_what_is_missing(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    shown = vmcoredd("dump", "--card", small_card, "-o", output).out
    words = {line.strip().split("  ")[0]: line.rstrip() for line in shown.splitlines()}
    assert words["adapter"].split()[-1] == "T62100-CR"
    assert words["entities good"].split()[-1] == "50"
    assert words["memories"].endswith("EDC0 1.0 MiB, EDC1 1.0 MiB, MC 1.0 MiB")
    assert f"{FIRST}: MC1, HMA are absent: this adapter has none" in shown
    assert "is not in the dump" not in shown
    assert words["time-outs"].split()[-1] == "0"


def test_the_summary_of_many_adapters_breaks_no_value(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    cards = ["--card", small_card] * 9
    shown = vmcoredd("dump", *cards, "--entity", "CLK", "-o", output).out
    assert [f"cxgb4_0000:00:{slot:02x}.0" in shown for slot in range(2, 11)] == [True] * 9
    assert shown.count("device dump ") == 3


def test_the_summary_is_a_record_for_programs(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    record = vmcoredd("dump", "--card", small_card, "-o", output, "--json").json
    (adapter,) = record["adapters"]
    assert record["size_bytes"] == output.stat().st_size
    assert (adapter["name"], adapter["good"], adapter["failed"]) == (FIRST, 50, 2)
    assert adapter["complete"] is True
    assert {item["name"]: (item["code"], item["sys_err"]) for item in adapter["absent"]} == {
        "MC1": (-29, -24),
        "HMA": (-29, -24),
    }
    assert adapter["missing"] == adapter["partial"] == []


def dumped_with(vmcoredd: Run, fault: str, output: Path) -> Result:
    """Dumps a T6 with a fault into the vmcore `output`."""
    return vmcoredd("dump", "--card", "t62100-cr", "--fault", fault, "-o", output)


def test_a_fault_is_for_cards_that_are_emulated(vmcoredd: Run, output: Path) -> None:
    for fault, card, why in (
        ("firmware-dead", "--socket", "it needs --card"),
        ("firmware-dad", "--card", "no fault is called firmware-dad; did you mean firmware-dead, "),
    ):
        result = vmcoredd("dump", card, "t62100-cr", "--fault", fault, "-o", output)
        assert result.code == Exit.USAGE
        assert f"--fault: {why}" in one_line(result)


def test_a_partial_entity_counts_as_missing(vmcoredd: Run, output: Path) -> None:
    result = dumped_with(vmcoredd, "le-status", output)
    assert result.code == Exit.INCOMPLETE
    assert "LE_TCAM is partial, -41: partial data" in result.out
    shown = vmcoredd("show", output)
    assert shown.code == Exit.INCOMPLETE
    assert "partial, -41: partial data" in shown.out
    assert vmcoredd("show", output, "--entity", "LE_TCAM").code == Exit.INCOMPLETE
    assert vmcoredd("show", output, "--entity", "MC1").code == Exit.OK


OFF = "-29: system error, -24: switched off, though"


@pytest.mark.parametrize(
    ("fault", "name", "reason"),
    [
        ("no-edc1", "EDC1", f"{OFF} every adapter has it"),
        ("no-mc0", "MC0", f"{OFF} MA_EXT_MEMORY0_BAR describes 8 MiB of it"),
    ],
)
def test_a_memory_that_is_switched_off_is_missing_and_one_that_the_card_lacks_is_absent(
    vmcoredd: Run, output: Path, fault: str, name: str, reason: str
) -> None:
    result = dumped_with(vmcoredd, fault, output)
    assert result.code == Exit.INCOMPLETE
    assert f"{FIRST}: {name} is not in the dump: {reason}\n" in result.out
    assert f"{FIRST}: MC1, HMA are absent: this adapter has none\n" in result.out
    shown = vmcoredd("show", output, "--entity", name)
    assert shown.code == Exit.INCOMPLETE
    assert f"not in the dump: {reason}" in shown.out
    assert vmcoredd("show", output, "--entity", "MC1").code == Exit.OK
    listed = vmcoredd("notes", output)
    assert listed.code == Exit.INCOMPLETE
    assert listed.err == f"lacks: note 0: {name}: {reason}\n"


def test_a_processor_that_hangs_costs_four_entities(vmcoredd: Run, output: Path) -> None:
    result = dumped_with(vmcoredd, "cim-host-hangs", output)
    assert result.code == Exit.INCOMPLETE
    lost = [line.split()[1] for line in result.out.splitlines() if " is not in the dump: " in line]
    assert lost == ["CIM_LA", "CIM_QCFG", "UP_CIM_INDIRECT", "PBT_TABLE"]
    record = vmcoredd("notes", output, "--json").json["notes"][0]
    assert (record["good"], record["missing"], record["absent"]) == (46, 4, 2)
    assert [line.partition(":")[0] for line in record["lacks"]] == lost


def test_time_outs_are_told_although_the_bytes_are_complete(vmcoredd: Run, output: Path) -> None:
    socket = output.with_name("t6.sock")
    with emulated("--card", "t62100-cr", "--socket", socket, "--fault", "context-busy") as server:
        ready(server)
        shown = vmcoredd("dump", "--socket", socket, "-o", output)
        record = vmcoredd("dump", "--socket", socket, "-o", output, "--force", "--json").json
    assert shown.code == Exit.OK
    assert f"{FIRST}: DUMP_CONTEXT: 1,536 time-outs\n" in shown.out
    (adapter,) = record["adapters"]
    assert adapter["timeouts"] == [{"entity": "DUMP_CONTEXT", "times": 1536}]
    assert (adapter["complete"], adapter["missing"], adapter["partial"]) == (True, [], [])


def test_dumps_have_the_given_names_and_then_names_by_slot(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    cards = ["--card", small_card, "--card", small_card]
    vmcoredd("dump", *cards, "--name", "mine", "-o", output)
    assert list(dumps(output)) == ["mine", SECOND]


def test_a_name_may_fill_its_field_in_the_note(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    vmcoredd("dump", "--card", small_card, "--name", "n" * 44, "-o", output)
    assert list(dumps(output)) == ["n" * 44]


def test_seeds_make_different_cards_of_one_profile(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    serials = {
        vmcoredd(
            "dump", "--card", small_card, "--seed", seed, "-o", output, "--force", "--json"
        ).json["adapters"][0]["serial"]
        for seed in (1, 2, 1)
    }
    assert len(serials) == 2


def test_without_compression_qdesc_does_not_fit(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    result = vmcoredd("dump", "--card", small_card, "--compress", "none", "-o", output)
    assert result.code == Exit.INCOMPLETE
    (dump,) = dumps(output).values()
    assert dump.compression == "none"
    assert dump.entity("QDESC").code == -19


def test_only_the_named_entities_are_collected(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    vmcoredd("dump", "--card", small_card, "--entity", "clk", "--entity", "RSS", "-o", output)
    (dump,) = dumps(output).values()
    assert [entity.name for entity in dump.entities] == ["RSS", "CLK"]


def test_every_access_is_traced_with_its_register(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    arguments = ["--card", small_card, "--entity", "PATH_MTU", "--trace", "-o", output]
    traced = vmcoredd("dump", *arguments).err.splitlines()
    assert traced[0].startswith("R config 0x000 = 0x640d1425")
    assert any(line.startswith("R 0x19400 PL_WHOAMI = 0x00000800 SourcePF=4") for line in traced)
    requests = [line for line in traced if line.startswith("W 0x07de4 TP_MTU_TABLE = 0xff0000")]
    assert len(requests) == 16


def test_dumps_are_added_to_a_vmcore(
    vmcoredd: Run, made: Path, small_card: Path, output: Path
) -> None:
    result = vmcoredd("dump", "--card", small_card, "--base", made, "--name", "new", "-o", output)
    assert result.code == Exit.OK
    assert list(dumps(output)) == ["new", FIRST, SECOND]
    with vmcore.Reader(made) as before, vmcore.Reader(output) as after:
        assert len(after.notes) == len(before.notes) + 1
        assert not after.damage


def test_the_dumps_of_the_base_are_counted_and_their_names_are_not_used_again(
    vmcoredd: Run, made: Path, small_card: Path, output: Path
) -> None:
    arguments = ["--card", small_card, "--base", made, "-o", output]
    result = vmcoredd("dump", *arguments)
    assert list(dumps(output)) == ["cxgb4_0000:00:04.0", FIRST, SECOND]
    assert "3 device dumps, 2 of them from the base" in result.out
    assert vmcoredd("dump", *arguments, "--force", "--json").json["device_dumps"] == 3
    result = vmcoredd("dump", *arguments, "--force", "--name", FIRST)
    assert result.code == Exit.USAGE
    assert f"--name: the base has a device dump called {FIRST}" in result.err


def test_a_vmcore_can_be_its_own_base(
    vmcoredd: Run, made: Path, small_card: Path, output: Path
) -> None:
    output.write_bytes(made.read_bytes())
    arguments = ["--card", small_card, "--base", output, "-o", output, "--force"]
    assert vmcoredd("dump", *arguments).code == Exit.OK
    assert list(dumps(output)) == ["cxgb4_0000:00:04.0", FIRST, SECOND]


def test_adapters_beyond_a_bus_continue_on_the_next() -> None:
    names = dump_names([], 64)
    assert names[29:32] == ["cxgb4_0000:00:1f.0", "cxgb4_0000:01:00.0", "cxgb4_0000:01:01.0"]
    assert names[-1] == "cxgb4_0000:02:01.0"
    assert len(set(dump_names(["a"], 9000))) == 9000


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_vmcore_is_streamed_to_stdout_and_its_summary_to_stderr(
    vmcoredd: Run, small_card: Path, output: Path, name: str
) -> None:
    command = [sys.executable, "-m", "vmcoredd", "dump", "--card", small_card]
    done = subprocess.run([*command, "-o", name], capture_output=True, check=True)
    output.write_bytes(done.stdout)
    assert list(dumps(output)) == [FIRST]
    assert b"1 device dump" in done.stderr
    assert b"1 device dump" not in done.stdout
    assert vmcoredd("dump", "--card", small_card, "-o", "-", "--json").code == Exit.USAGE


def test_a_reader_of_a_vmcore_that_leaves_is_a_failure(small_card: Path) -> None:
    command = [sys.executable, "-m", "vmcoredd", "dump", "--card", small_card, "-o", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
        assert dump.stdout is not None
        assert dump.stderr is not None
        dump.stdout.close()
        assert dump.stderr.read().startswith(b"vmcoredd: -: its reader left after ")
    assert dump.returncode == Exit.FAILED


def test_a_vmcore_is_written_although_stdout_is_closed(small_card: Path, output: Path) -> None:
    command = f"{sys.executable} -m vmcoredd dump --card {small_card} -o {output} >&-"
    assert subprocess.run(["sh", "-c", command], check=True, capture_output=True).stderr == b""
    assert list(dumps(output)) == [FIRST]


def test_a_vmcore_for_a_closed_stdout_is_refused(small_card: Path) -> None:
    command = f"{sys.executable} -m vmcoredd dump --card {small_card} -o - >&-"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (
        Exit.FAILED,
        b"vmcoredd: -: standard output is closed or only for reading\n",
    )


def test_an_output_that_exists_is_kept(vmcoredd: Run, small_card: Path, output: Path) -> None:
    output.write_text("precious")
    result = vmcoredd("dump", "--card", small_card, "-o", output)
    assert result.code == Exit.FAILED
    assert "File exists" in one_line(result)
    assert "--force" in result.err
    assert output.read_text() == "precious"


def test_an_output_that_exists_is_replaced_when_forced(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    output.write_text("old")
    assert vmcoredd("dump", "--card", small_card, "-o", output, "--force").code == Exit.OK
    assert list(dumps(output)) == [FIRST]
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent/vmcore", "No such file or directory"), ("", ": neither a regular file nor a pipe")],
    ids=["no folder", "a folder"],
)
def test_an_impossible_output_is_refused_before_anything_else_happens(
    vmcoredd: Run, tmp_path: Path, name: str, says: str
) -> None:
    result = vmcoredd("dump", "--card", "t9999-cr", "--socket", "absent", "-o", tmp_path / name)
    assert result.code in (Exit.FAILED, Exit.USAGE)
    result = vmcoredd("dump", "--socket", tmp_path / "absent", "-o", tmp_path / name)
    assert result.code == Exit.FAILED
    assert says in one_line(result)


def test_an_output_in_a_read_only_folder_is_refused(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o555)
    # Root could write to tmp_path, and to /sys where that is an ordinary folder (in a chroot).
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    result = vmcoredd("dump", "--card", small_card, "-o", folder / "vmcore")
    assert result.code == Exit.FAILED
    assert one_line(result).endswith(("Permission denied", "No such file or directory"))
    assert not (folder / "vmcore").exists()


def test_nothing_is_left_behind_when_the_disk_is_full(small_card: Path, output: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))

    result = spawned("dump", "--card", small_card, "-o", output, preexec_fn=limited)
    assert result.returncode == Exit.FAILED
    assert result.stderr.startswith("vmcoredd: File too large")
    assert list(output.parent.iterdir()) == []


def test_the_old_output_is_kept_when_the_disk_is_full(small_card: Path, output: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))

    output.write_text("precious")
    arguments = ["--card", small_card, "-o", output, "--force"]
    assert spawned("dump", *arguments, preexec_fn=limited).returncode == Exit.FAILED
    assert output.read_text() == "precious"
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give at least one --socket, --card, --from or --pci"),
        (["--card", "t9999-cr"], "--card: no card is called t9999-cr; there are t520-cr, "),
        (["--card", "absent.toml"], "absent.toml: No such file or directory"),
        (
            ["--card", "t520-cr", "--compress", "lzma"],
            "no compression is called lzma; there are ",
        ),
        (["--card", "t520-cr", "--entity", "RSSS"], "no entity is called RSSS; did you mean RSS"),
        (["--card", "t520-cr", "--name", "a", "--name", "b"], "2 names for 1 adapter"),
        (
            ["--card", "t520-cr", "--card", "t520-cr", "--name", "a", "--name", "a"],
            "a was given twice",
        ),
        (["--card", "t520-cr", "--name", "n" * 45], "a name has 1 to 44 bytes, not 45"),
        (["--card", "t520-cr", "--name", ""], "a name has 1 to 44 bytes, not 0"),
    ],
    ids=["nothing", "card", "file", "compress", "entity", "names", "twice", "long name", "no name"],
)
def test_wrong_usage_is_refused_and_writes_nothing(
    vmcoredd: Run, output: Path, arguments: list[str], says: str
) -> None:
    result = vmcoredd("dump", *arguments, "-o", output)
    assert result.code == Exit.USAGE
    assert says in result.err
    assert "Traceback" not in result.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "ELF"),
        (b"no ELF at all" * 100, "ELF"),
        (b"\x7fELF" + bytes(200), "ELF"),
    ],
    ids=["empty", "text", "zeros"],
)
def test_a_base_that_is_not_a_vmcore_is_refused(
    vmcoredd: Run, small_card: Path, output: Path, content: bytes, says: str
) -> None:
    base = output.with_name("base")
    base.write_bytes(content)
    result = vmcoredd("dump", "--card", small_card, "--base", base, "-o", output)
    assert result.code == Exit.BAD_FILE
    assert f"{base}: " in one_line(result)
    assert says in result.err
    assert not output.exists()


def test_a_truncated_base_is_refused_and_nothing_is_left_behind(
    vmcoredd: Run, small_card: Path, copied: Path, output: Path
) -> None:
    os.truncate(copied, 1 << 20)
    result = vmcoredd("dump", "--card", small_card, "--base", copied, "-o", output)
    assert result.code == Exit.BAD_FILE
    assert "need" in one_line(result)
    assert not output.exists()


@pytest.mark.parametrize(
    "words",
    [("demo",), ("guest", "live", "--card", "t520-cr"), ("guest", "kdump", "--card", "t520-cr")],
)
def test_other_vmcores_are_not_streamed(vmcoredd: Run, words: tuple[str, ...]) -> None:
    done = vmcoredd(*words, "-o", "-")
    assert done.code == Exit.FAILED
    assert "-: this output cannot be streamed; give a regular file" in done.err


def test_a_card_can_be_fresh_and_what_was_chosen_is_said(
    vmcoredd: Run, small_card: Path, output: Path
) -> None:
    arguments = ["--card", small_card, "--entity", "DUMP_CONTEXT", "-o", output]
    made = vmcoredd("dump", *arguments, "--scene", "fresh")
    assert re.search(r"^ scene +fresh", made.out, re.MULTILINE)
    assert vmcoredd("dump", *arguments, "--scene", "old").code == Exit.USAGE
