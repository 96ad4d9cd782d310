"""The pytest plugin as projects use it: each test runs a project's tests in its own process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyvfio_user
from vmcoredd import emu
from vmcoredd.bench.measure import processor_seconds
from vmcoredd.testing.marks import Arguments

PLUGIN = "vmcoredd.testing.plugin"
SECONDS = 120
HELP = """
import sys, pytest
code = pytest.main(["--help", *sys.argv[1:]])
print("MODULES", *sorted(sys.modules), sep="\\n")
sys.exit(code)
"""
served = pytest.mark.skipif(
    pyvfio_user.library_version() is None, reason="built without libvfio-user"
)


class Project:
    """A folder with tests of somebody else's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, tests: str, *options: str, code: int) -> str:
        """Runs tests with the plugin and no other; returns what pytest printed."""
        (self.folder / "test_their.py").write_text(tests)
        words = ["-p", PLUGIN, "-p", "no:cacheprovider", "--strict-markers", *options]
        done = python("-m", "pytest", *words, cwd=self.folder)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python without the plugins that are installed, and with an empty cache: no guests."""
    environment = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "XDG_CACHE_HOME": str(cwd / "cache"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COLUMNS": "200",
    }
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=SECONDS
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return Project(tmp_path)


# Fixtures and marks


@served
def test_fixtures_give_the_card_that_the_mark_describes(project: Project) -> None:
    said = project.run(
        """
import pytest
from pyvfio_user import Client
from vmcoredd import cudbg

@pytest.mark.vmcoredd(card="t520-cr", seed=7, scene="fresh")
class TestT5:
    def test_card(self, card):
        assert (card.profile.name, card.seed, str(card.scenario.scene)) == ("t520-cr", 7, "fresh")

    @pytest.mark.vmcoredd(seed=8)
    def test_the_nearest_mark_wins_argument_by_argument(self, card):
        assert (card.profile.name, card.seed) == ("t520-cr", 8)

    def test_socket(self, card, served_card):
        with Client(served_card) as client:
            read = client.region_read(0, int(card.chip.r.PL_WHOAMI), 4)
        assert int.from_bytes(read, "little") == card.read(int(card.chip.r.PL_WHOAMI))
        assert len(str(served_card)) < 60

@pytest.mark.vmcoredd(faults=["cim-host-busy"])
def test_adapter(adapter):
    report = adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)))
    assert adapter.chip.name == "t6"
    assert "CIM_LA" in [entity.name for entity in report.failed]
    assert len(report.good) > 30

def test_vmcore(vmcore):
    (note,) = vmcore.device_dumps
    assert note.name == "cxgb4_0000:01:00.4"
    assert cudbg.Dump(vmcore.payload(note.index)).raw("CIM_QCFG")

@pytest.mark.vmcoredd(strict=True, wires=["0=1"])
def test_strict(card):
    assert card.access_log.strict
""",
        code=0,
    )
    assert "6 passed" in said


BAD = {
    "card='t5'": "no such card; there are t520-cr, ",
    "card=5": "a card's name or the path of its TOML file: t520-cr, ",
    "seed='one'": "seed: a whole number",
    "sed=1": "no argument sed; there are card, seed, faults, scene, strict, wires, kernel",
    "'t520-cr'": "name the arguments: card, seed, faults, scene, strict, wires, kernel",
    "faults=['cim-host-bsy']": "no fault cim-host-bsy; did you mean cim-host-busy?",
    "faults=['firmware-retval']": "firmware-retval: its argument is missing; type firmware-ret",
    "faults='cim-host-busy'": "faults: a list of texts, such as ['cim-host-busy']",
    "card='t520-cr', faults=['parity-hma']": "no such fault on a t520-cr: it has no ",
    "scene='old'": "no scene 'old'; there are crashed, fresh",
    "strict=1": "strict: True (",
    "wires=['0=0']": "port 0 leads to itself",
    "wires=['0=7']": "port 7",
    "kernel='7'": "no kernel '7'; there are 6.1, 6.12, newest, debian:6.1, ",
}


def test_a_mark_takes_faults_with_arguments_and_triggers() -> None:
    faults = ["firmware-retval=EIO", "firmware-dead@command:VI:2"]
    card = Arguments(card="t520-cr", faults=faults).make(emu.Scene.FRESH)
    assert ([*card.faults], card.triggers.armed) == (faults[:1], faults[1:])


def test_a_bad_mark_is_one_error_that_says_what_is_allowed(project: Project) -> None:
    tests = "import pytest\n" + "".join(
        f"@pytest.mark.vmcoredd({text})\ndef test_{number}(card): pass\n"
        for number, text in enumerate(BAD)
    )
    said = project.run(tests, code=1)
    assert f"{len(BAD)} errors" in said
    for number, (text, why) in enumerate(BAD.items()):
        (shown,) = re.findall(rf"(?m)^_+ ERROR at setup of test_{number} _+\n(.*\n?.*)", said)
        first, rest = shown.split("\n", 1)
        assert first.startswith("pytest.mark.vmcoredd("), shown
        assert why in first, text
        assert rest.startswith(("_____", "=====")), "more than a line"


def test_a_mark_is_checked_even_where_no_fixture_is_used(project: Project) -> None:
    tests = "import pytest\n@pytest.mark.vmcoredd(faults=['x'])\ndef test(): pass\n"
    assert "no fault x; " in project.run(tests, code=1)


def test_fixtures_of_the_same_names_are_the_projects_own(project: Project) -> None:
    names = ("card", "served_card", "adapter", "vmcore", "guest")
    fixtures = "".join(f"@pytest.fixture\ndef {name}(): return {name!r}\n" for name in names)
    (project.folder / "conftest.py").write_text(f"import pytest\n{fixtures}")
    said = project.run(
        f"def test({', '.join(names)}): assert ({', '.join(names)}) == {names}, 1 / 0\n"
        f"def test_fails({', '.join(names)}): assert not card\n",
        code=1,
    )
    assert "1 failed, 1 passed" in said
    assert "vmcoredd:" not in said


# What a card saw


def test_a_failed_test_tells_what_the_card_saw_and_one_that_passes_does_not(
    project: Project,
) -> None:
    said = project.run(
        """
import pytest

def touch(card):
    card.read(int(card.chip.r.PL_REV))
    with pytest.raises(Exception):
        card.write(int(card.chip.r.PL_REV), 1)

@pytest.mark.vmcoredd(card="t520-cr", seed=5, faults=["firmware-crash"])
def test_fails(card):
    touch(card)
    assert False

def test_passes(card):
    touch(card)
""",
        code=1,
    )
    assert said.count("vmcoredd: what the") == 1
    section = said.split("vmcoredd: what the t520-cr saw")[1]
    assert "seed=5, faults=['firmware-crash']); scene crashed" in section
    again = "vmcoredd emulate --card t520-cr --seed 5 --scene crashed --fault firmware-crash"
    assert again in section
    assert "BAR0: 1 word read, 1 word written" in section
    assert "1 x write of PL_REV (0x1943c): guest error: the register is read-only" in section
    assert "EMERG  CORE   crash: the firmware has stopped" in section
    assert "starting" not in section  # of the boot, which is no news
    assert "trouble with the host, its queues and wires: none" in section


def test_cards_are_gone_after_their_tests(project: Project) -> None:
    project.run(
        """
import gc, weakref, pytest
made = []

@pytest.mark.parametrize("number", range(3))
def test(adapter, card, number):
    made.append(weakref.ref(card))
    gc.collect()
    assert [each() for each in made[:-1]] == [None] * number
""",
        code=0,
    )


def test_what_the_card_saw_is_bounded(project: Project) -> None:
    said = project.run(
        """
from vmcoredd.chip.devlog import Facility
from vmcoredd.emu.engine.trouble import Kind, Trouble
from vmcoredd.emu.silicon.mailbox import Mailboxes

def test(card):
    for offset in range(2, 2000, 4):
        try:
            card.read(offset)
        except Exception:
            pass
    firmware = card.model(Mailboxes).firmware
    for number in range(300):
        card.engine.trouble(Trouble(Kind.DOORBELL, number, 1 << 63, 0))
        firmware.note(Facility.CORE, "\\x1b[31m" + "x" * 170)
    assert False
""",
        code=1,
    )
    section = said.split("vmcoredd: what the t62100-cr saw")[1].split("short test summary")[0]
    assert "access log: 500 kinds" in section
    assert "and 480 other kinds" in section
    assert "trouble with the host, its queues and wires: 300" in section
    assert "\x1b" not in section
    lines = section.splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 200


def test_a_card_that_does_not_come_up_tells_what_it_saw(project: Project) -> None:
    tests = """
import pytest
@pytest.mark.vmcoredd(faults=["device-gone"])
def test(adapter): pass
"""
    said = project.run(tests, code=1)
    assert "ProbeError" in said
    assert "vmcoredd: what the t62100-cr saw" in said


# Needs

NEEDY = """
import pytest

@pytest.mark.vmcoredd_needs("qemu", "kernel")
def test_marked(): pass

def test_guest(guest): pass

@pytest.mark.vmcoredd_needs("card")
def test_passes(): pass
"""


def test_what_the_machine_lacks_skips_a_test_and_the_reason_is_told(project: Project) -> None:
    said = project.run(NEEDY, code=0)
    assert "1 passed, 2 skipped" in said
    (line,) = re.findall(r"(?m)^2 x needs .*$", said)
    assert "--vmcoredd-prepare" in line or "pip install" in line


@pytest.mark.parametrize("how", ["option", "ini"])
def test_strict_makes_that_an_error(project: Project, how: str) -> None:
    if how == "ini":
        (project.folder / "pytest.ini").write_text("[pytest]\nvmcoredd_strict = true\n")
    said = project.run(NEEDY, *(["--vmcoredd-strict"] if how == "option" else []), code=1)
    assert "1 passed, 2 errors" in said
    assert "(--vmcoredd-strict)" in said


def test_what_cannot_be_prepared_either_says_why(project: Project) -> None:
    """The cache is a file, in which nothing can be made."""
    (project.folder / "cache").touch()
    tests = "import pytest\n@pytest.mark.vmcoredd_needs('kernel')\ndef test(): pass\n"
    said = project.run(tests, "--vmcoredd-prepare", code=0)
    assert "Not a directory" in said


def test_an_unknown_need_or_kernel_is_an_error(project: Project) -> None:
    tests = "import pytest\n@pytest.mark.vmcoredd_needs('{}')\ndef test(): pass\n"
    said = project.run(tests.format("quemu"), code=1)
    assert "no need 'quemu'; choose from card, server, qemu, kernel, headers, root" in said
    assert "no need ''" in project.run(tests.replace("'{}'", ""), code=1)
    said = project.run(tests.format("kernel"), "--vmcoredd-kernel", "7", code=1)
    assert "no kernel '7': choose one of 6.1, 6.12, newest, debian:6.1" in said


# With others


@served
def test_workers_of_xdist_serve_cards_side_by_side(project: Project) -> None:
    tests = """
import pytest
from pyvfio_user import Client

@pytest.mark.parametrize("number", range(4))
def test_served(served_card, number):
    with Client(served_card) as client:
        assert client.region_read(0, 0x19400, 4) != number

def test_fails(card): assert False
@pytest.mark.vmcoredd_needs("kernel")
def test_skipped(): pass
"""
    said = project.run(tests, "-p", "xdist", "-n", "2", code=1)
    assert "1 failed, 4 passed, 1 skipped" in said
    assert said.count("vmcoredd: what the t62100-cr saw") == 1
    assert "1 x needs kernel: " in said


def test_helps_pages_name_marks_fixtures_and_options(project: Project) -> None:
    said = project.run("", "--markers", code=0)
    assert "@pytest.mark.vmcoredd(card=" in said
    assert "@pytest.mark.vmcoredd_needs(name, ...)" in said
    said = project.run("", "--fixtures", code=0)
    for name in ("card", "served_card", "adapter", "vmcore", "guest [module scope]"):
        assert re.search(rf"(?m)^{re.escape(name)} -- .*\n    [A-Z]", said), name


TUTORIAL = Path(__file__).resolve().parents[2] / "docs/how-to/testing.md"


@served
def test_the_tutorials_tests_end_as_it_says(project: Project) -> None:
    page = TUTORIAL.read_text()
    tests = "\n".join(re.findall(r"(?ms)^```python\n(.*?)^```", page))
    (shown,) = re.findall(r"(?ms)^```text\n(.*?)^```", page)
    said = project.run(tests, code=1)
    assert "1 failed" in said
    lines = [line.strip("- ") for line in said.splitlines()]
    assert [line for line in shown.splitlines() if line.strip("- ") not in lines] == []


def test_pytests_help_loads_the_plugin_and_nothing_else_of_ours(tmp_path: Path) -> None:
    without = python("-c", HELP, cwd=tmp_path)
    with_plugin = python("-c", HELP, "-p", PLUGIN, cwd=tmp_path)
    assert (without.returncode, with_plugin.returncode) == (0, 0)
    assert "--vmcoredd-strict" in with_plugin.stdout
    before, after = (
        set(done.stdout.partition("MODULES\n")[2].split()) for done in (without, with_plugin)
    )
    assert after - before == {"vmcoredd", "vmcoredd.testing", PLUGIN}


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="VMCOREDD_THOROUGH=1, make test-long"
)
def test_pytests_help_takes_at_most_50_ms_longer(tmp_path: Path) -> None:
    def seconds(*words: str) -> float:
        before = processor_seconds()
        python("-m", "pytest", "--help", *words, cwd=tmp_path)
        return processor_seconds() - before

    runs = [(seconds(), seconds("-p", PLUGIN)) for _ in range(20)]
    without, with_plugin = (min(times) for times in zip(*runs, strict=True))
    assert with_plugin - without < 0.05, f"{without:.3f} s without, {with_plugin:.3f} s with"
