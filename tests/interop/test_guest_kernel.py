"""The guests' kernel: the tools that build it, unpacked privately, our patch of its driver, users'
modules for Debian's, and kernels of RPM packages."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kernel_parts import RELEASE, image, module, write

from vmcoredd import debs
from vmcoredd.qemu import kernel_tools
from vmcoredd.qemu.errors import BuildError, GuestError
from vmcoredd.qemu.kernel import CONFIG, kernel_source
from vmcoredd.qemu.kernels import check, find_kernel
from vmcoredd.qemu.user_module import build_module, headers_are_cached
from vmcoredd.qemu.users_kernel import users_kernel

pytestmark = pytest.mark.interop

PATCH = next((Path(__file__).resolve().parents[2] / "docs/upstream").glob("0001-*.patch"))
EXAMPLE = PATCH.parents[2] / "examples/fwstate"
FILE = "drivers/net/ethernet/chelsio/cxgb4/cudbg_lib.c"
thorough = pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1",
    reason="downloads a compiler, or all: VMCOREDD_THOROUGH=1, make test-long",
)
KERNELS = [
    "debian:6.1",
    *(pytest.param(name, marks=thorough) for name in ("debian:6.12", "debian:newest")),
]
GRAMMAR = "%%\nstart: 'a';\n%%\n"
SCANNER = "%option noyywrap\n%%\na return 1;\n%%\n"
PROGRAM = """\
#include <libelf.h>
int main(void) { return elf_version(EV_CURRENT) == EV_NONE; }
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> kernel_tools.BuildTools:
    return kernel_tools._private(tmp_path_factory.mktemp("tools"), dict(os.environ), debs.silent)


def run(tools, folder, *command: str, text: str = "") -> str:
    done = subprocess.run(
        command, env=tools.environment, cwd=folder, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bison_finds_its_data(tools, tmp_path):
    (tmp_path / "grammar.y").write_text(GRAMMAR)
    run(tools, tmp_path, "bison", "-o", "grammar.c", "grammar.y")
    assert "yyparse" in (tmp_path / "grammar.c").read_text()


def test_flex_finds_m4(tools, tmp_path):
    (tmp_path / "scanner.l").write_text(SCANNER)
    run(tools, tmp_path, "flex", "-o", "scanner.c", "scanner.l")
    assert "yylex" in (tmp_path / "scanner.c").read_text()


def test_bc_calculates(tools, tmp_path):
    assert run(tools, tmp_path, "bc", "-q", text="6*7\n") == "42\n"


def test_programs_compile_link_and_run_with_libelf(tools, tmp_path):
    (tmp_path / "program.c").write_text(PROGRAM)
    flags = dict(argument.split("=", 1) for argument in tools.arguments)
    words = [flags["LIBELF_FLAGS"], "-o", "program", "program.c", flags["LIBELF_LIBS"]]
    run(tools, tmp_path, "gcc", *shlex.split(" ".join(words)))
    assert "/tools" in run(tools, tmp_path, "ldd", "./program")
    run(tools, tmp_path, "./program")


def test_the_patch_applies_to_the_guests_kernel(tmp_path, progress):
    archive = kernel_source(progress=progress).archive
    member = f"{archive.name.removesuffix('.tar.xz')}/{FILE}"
    unpack = ["tar", "-x", "-f", archive, "--strip-components=1", "--occurrence=1", member]
    subprocess.run(unpack, cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", PATCH], cwd=tmp_path, check=True)
    assert "padap->port[i] && netif_running(padap->port[i])" in (tmp_path / FILE).read_text()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_users_module_is_built_for_debians_kernel_and_its_folder_stays_as_it_is(
    kernel: str, tmp_path: Path, progress
) -> None:
    before = {path: path.stat().st_mtime_ns for path in EXAMPLE.rglob("*")}
    (built,) = build_module(EXAMPLE, kernel, tmp_path, progress)
    assert built.name == "fwstate.ko"
    assert headers_are_cached(kernel)
    said = subprocess.run(["strings", built], capture_output=True, text=True, check=True).stdout
    assert f"vermagic={find_kernel(kernel, progress).release} " in said
    assert "license=Dual BSD/GPL" in said
    assert not re.search(r"\.[ch]:\d+.* warning:", (tmp_path / "build.log").read_text())
    assert {path: path.stat().st_mtime_ns for path in EXAMPLE.rglob("*")} == before


@pytest.mark.guest
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_examples_pass_in_a_guest(kernel: str, tmp_path: Path) -> None:
    passed(tmp_path, "--vmcoredd-prepare", "--vmcoredd-kernel", kernel)


@pytest.mark.guest
@thorough
def test_the_examples_pass_where_nothing_is_cached_yet(tmp_path: Path) -> None:
    said = passed(tmp_path, "--vmcoredd-prepare", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "downloading" in said


def passed(folder: Path, *options: str, **variables: str) -> str:
    """Runs the examples' tests; returns what pytest printed."""
    copy = shutil.copytree(EXAMPLE.parent, folder / "examples")
    path = os.pathsep.join(filter(None, sys.path))
    plugin = ("-p", "vmcoredd.testing.plugin", "--vmcoredd-strict", *options)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_module_that_does_not_compile_is_an_error_with_the_compilers_words(
    tmp_path: Path, progress
) -> None:
    source = tmp_path / "broken"
    source.mkdir()
    (source / "Kbuild").write_text("obj-m := broken.o\n")
    (source / "broken.c").write_text("int broken(void) { return no_such_name; }\n")
    (tmp_path / "work").mkdir()
    with pytest.raises(BuildError, match=r"(?s)building the module in .*broken.*no_such_name"):
        build_module(source, "debian:6.1", tmp_path / "work", progress)


# A kernel in RPM packages, of the kernel's parts in small


SPEC = """\
Name: kernel-{name}
Version: 1
Release: 1
Summary: x
License: GPL
%description
x
%files
/lib/modules
"""
MODULES = f"lib/modules/{RELEASE}"
CORE = {f"{MODULES}/vmlinuz": image(), f"{MODULES}/config": CONFIG.read_text()}
DRIVERS = {f"{MODULES}/kernel/cxgb4.ko": module("tls"), f"{MODULES}/kernel/tls.ko": module()}


@pytest.fixture
def rpm(tmp_path, progress) -> Callable[..., Path]:
    """Makes a package with Debian's rpmbuild, compressed as Fedora's are."""
    tools = debs.binaries(["rpm"], suites=(debs.codename(),), name="rpm", progress=progress)

    def make(name: str, files: Mapping[str, bytes | str]) -> Path:
        spec = write(tmp_path, {f"{name}.spec": SPEC.format(name=name)}) / f"{name}.spec"
        defined = {
            "_topdir": tmp_path / "built",
            "_rpmdir": tmp_path / "packages",
            "_build_name_fmt": "%{NAME}.rpm",
            "_rpmconfigdir": tools / "usr/lib/rpm",
            "__os_install_post": "%{nil}",
            "_binary_payload": "w3.zstdio",
        }
        done = subprocess.run(
            [
                *debs.command(tools, "usr/bin/rpmbuild"),
                *("-bb", "--nodeps", "--buildroot", write(tmp_path / f"{name}.root", files)),
                *(one for macro in defined for one in ("-D", f"{macro} {defined[macro]}")),
                spec,
            ],
            env=os.environ | {"RPM_CONFIGDIR": str(tools / "usr/lib/rpm")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return tmp_path / f"packages/kernel-{name}.rpm"

    return make


def test_a_kernel_is_taken_from_its_rpm_package(rpm) -> None:
    whole = users_kernel(rpm("whole", CORE | DRIVERS))
    assert [*whole.driver_modules()] == ["tls.ko", "cxgb4.ko"]
    assert whole.installed_modules
    check(whole, driver=True, dump=True)


def test_a_kernel_is_taken_from_the_folder_of_its_rpm_packages(rpm) -> None:
    core = rpm("core", CORE)
    rpm("modules", DRIVERS)
    assert [*users_kernel(core.parent).driver_modules()] == ["tls.ko", "cxgb4.ko"]


def test_a_damaged_rpm_package_is_told(rpm) -> None:
    path = rpm("whole", CORE)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(GuestError, match=r"kernel-whole\.rpm cannot be unpacked"):
        users_kernel(path)
