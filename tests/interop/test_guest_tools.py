"""The tools of a kernel build, unpacked privately even if the machine has them."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest

from vmcoredd import debs
from vmcoredd.qemu import kernel_tools

pytestmark = pytest.mark.interop

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
