"""A small root file system with this Python and the modules that a command imports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOADED = """
import runpy, sys
try:
    runpy.run_module("vmcoredd", run_name="__main__", alter_sys=True)
except SystemExit:
    pass
import encodings.ascii, encodings.latin_1
files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
print("MODULES", *filter(None, files), sep="\\n")
"""
"""Runs a command and prints the files of the modules that it imported."""


def copy_python(root: Path, *arguments: object) -> None:
    """Copies what `chroot root python -m vmcoredd ARGUMENTS` needs to the folder `root`, each file
    at its own path; links become files. Adds empty folders for `proc`, `dev` and `tmp`."""
    for name in ("proc", "dev", "tmp"):
        (root / name).mkdir(parents=True)
    command = [sys.executable, "-c", LOADED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    modules = [Path(line) for line in done.stdout.partition("MODULES\n")[2].split()]
    for path in {Path(sys.executable), *modules, *_fixed(), *_libraries(modules)}:
        _copy(path, root)
        if path.suffix == ".py" and (compiled := Path(cache_from_source(str(path)))).exists():
            _copy(compiled, root)


def _copy(path: Path, root: Path) -> None:
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _fixed() -> Iterator[Path]:
    """Yields files that are no modules: our tables, what tells Python where it is."""
    yield ROOT / "vmcoredd" / "__main__.py"
    yield from (ROOT / "vmcoredd" / "chip").glob("r*/*.csv")
    for config in (Path(sys.prefix) / "pyvenv.cfg", Path(os.path.realpath(sys.executable))):
        if config.exists():
            yield config


def _libraries(modules: list[Path]) -> Iterator[Path]:
    """Yields the shared libraries of the interpreter and of its modules."""
    programs = [Path(sys.executable), *(path for path in modules if path.suffix == ".so")]
    for program in programs:
        found = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        yield from map(Path, re.findall(r"(/\S+) \(0x", found))
