"""Kernels of one's own: a bad commit to cxgb4 is found by `git bisect run`, in the kernel's source.

Minutes: the driver is built in a tree that is made of the guests' own kernel. What a patch changes
is found by comparing two traces, too.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import kernel_parts
import pytest
from cliruns import ROOT, emulated, ready, spawned
from guest_traces import traced
from sweeps import made

from vmcoredd import debs
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.ktap import print_rows, run_as_test
from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.rows import Result
from vmcoredd.qemu import kernel_image
from vmcoredd.qemu.kernel import kernel_source
from vmcoredd.qemu.kernel_tools import build_tools
from vmcoredd.qemu.stock_kernel import StockKernel, stock_kernel

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1", reason="VMCOREDD_THOROUGH=1, make test-long"
    ),
]

KERNEL = os.environ.get("VMCOREDD_GUEST_KERNEL", "6.1")
DRIVER = "drivers/net/ethernet/chelsio/cxgb4"
BUILD = ("make", "-s", f"M={DRIVER}", "modules")
SECONDS = 900.0
WORKS = """#!/bin/sh
ethtool -i eth0 | grep -x 'bus-info: 0000:00:02.0'
"""
TRY = """#!/bin/sh
make -s "M=$DRIVER" modules || exit 125
exec "$PYTHON" -m vmcoredd guest run --kernel . --driver --ktap --card t62100-cr --root none \\
    --script ../works.sh --console ../console
"""
COMMITS = (
    ("l2t.c", "$", "\n/* nothing */\n"),
    ("sched.c", "$", "\n#error not to be built\n"),
    ("sched.c", r"\n#error not to be built\n", "\n"),
    ("cxgb4_ethtool.c", r"pci_name\(adapter->pdev\)", '"nowhere"'),
    ("smt.c", "$", "\n/* nothing */\n"),
)
"""Each replaces text in a file. The second, which git tries first, cannot be built."""
NOT_BUILT, BAD = 1, 3


@dataclass(frozen=True)
class Tree:
    """A kernel's source in which the driver is built, with an image of the same kernel."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def git(self, *words: str) -> str:
        identity = ("-c", "user.name=me", "-c", "user.email=me@here")
        return self.run("git", *identity, *words).stdout


@pytest.fixture(scope="module")
def tree(prepared, tmp_path_factory: pytest.TempPathFactory, progress) -> Tree:
    """What a full build would leave, as far as a module's build and a guest need it."""
    top = tmp_path_factory.mktemp("bisect")
    tools = build_tools(top / "tools", progress)
    path = f"{ROOT}:{ROOT / 'pyvfio_user/src'}"
    mine = {"PYTHON": sys.executable, "PYTHONPATH": path, "DRIVER": DRIVER}
    made = Tree(top / "linux", {**tools.environment, **mine})
    made.folder.mkdir()
    archive = kernel_source(KERNEL, progress).archive
    made.run("tar", "-x", "--strip-components=1", "-f", archive)
    kernel = prepared.kernel
    shutil.copyfile(kernel.folder / "config", made.folder / ".config")
    made.run("make", "-s", *tools.arguments, "olddefconfig")
    made.run("make", "-s", *tools.arguments, "modules_prepare")
    (made.folder / "Module.symvers").write_text(exported(kernel.vmlinux, kernel.modules))
    shutil.copyfile(kernel.image, made.folder / "arch/x86/boot/bzImage")
    order = {name: f"{name}.ko" for name in kernel.modules} | {"cxgb4": f"{DRIVER}/cxgb4.ko"}
    for name, place in order.items():
        shutil.copyfile(kernel.modules[name], made.folder / place)
    (made.folder / "modules.order").write_text("".join(f"{one}\n" for one in order.values()))
    made.run(*BUILD)
    return made


def exported(vmlinux: Path, modules: Mapping[str, Path]) -> str:
    """Module.symvers, which a full build leaves: the symbols that the kernel and modules export."""
    lines = []
    files = [("vmlinux", vmlinux), *((name, modules[name]) for name in modules if name != "cxgb4")]
    for name, file in files:
        listed = subprocess.run(["nm", file], capture_output=True, text=True, check=True).stdout
        for symbol in re.findall(r"(?m) __ksymtab_(\w+)$", listed):
            lines.append(f"0x00000000\t{symbol}\t{name}\tEXPORT_SYMBOL\t\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def commits(tree: Tree) -> Sequence[str]:
    """The hashes of the first commit, and of those of COMMITS."""
    tree.git("init", "-q")
    tree.git("add", "-f", *(f"{DRIVER}/{name}" for name in ("Makefile", "*.c", "*.h")))
    tree.git("commit", "-q", "-m", "as Debian has it")
    made = [tree.git("rev-parse", "HEAD").strip()]
    for number, (name, pattern, text) in enumerate(COMMITS):
        path = tree.folder / DRIVER / name
        before = path.read_text()
        after = re.sub(rf"{pattern}\Z" if pattern == "$" else pattern, text, before)
        assert after != before
        path.write_text(after)
        tree.git("commit", "-q", "-a", "-m", f"change {number}")
        made.append(tree.git("rev-parse", "HEAD").strip())
    return made


def test_git_bisect_finds_the_bad_commit_and_skips_the_one_that_cannot_be_built(
    tree: Tree, commits: Sequence[str]
) -> None:
    for name, text in (("works.sh", WORKS), ("try.sh", TRY)):
        (tree.folder.parent / name).write_text(text)
    tree.git("bisect", "start", commits[-1], commits[0])
    said, log = tree.git("bisect", "run", "sh", "../try.sh"), tree.git("bisect", "log")
    tree.git("bisect", "reset")
    tree.run(*BUILD)
    assert f"{commits[BAD + 1]} is the first bad commit" in said
    assert "not ok 1 works.sh # exit=1" in said
    assert re.search(r"(?m)^ok 1 works\.sh$", said)
    assert f"git bisect skip {commits[NOT_BUILT + 1]}" in log


@contextlib.contextmanager
def patched(tree: Tree, name: str, old: str, new: str) -> Iterator[None]:
    """Builds the driver with another text in a file, and as it was afterwards."""
    path = tree.folder / DRIVER / name
    before = path.read_text()
    assert before.count(old) == 1
    try:
        path.write_text(before.replace(old, new))
        tree.run(*BUILD)
        yield
    finally:
        path.write_text(before)
        tree.run(*BUILD)


def test_two_traces_part_where_a_patch_changes_the_driver(tree: Tree, tmp_path: Path) -> None:
    def probe(folder: str) -> Path:
        return traced(tree.folder, "true", tmp_path / folder, "--driver", "--root", "none")

    before = probe("before")
    with patched(tree, "cxgb4_main.c", "STATSOURCE_T5_V(7)", "STATSOURCE_T5_V(5)"):
        after = probe("after")
    assert spawned("diff", before, probe("again")).returncode == 0
    found = spawned("diff", before, after, "--json")
    record = json.loads(found.stdout)
    assert found.returncode == Exit.INCOMPLETE, found.stderr
    (place,) = record["places"]
    for side, source in (("a", 7), ("b", 5)):
        (line,) = place[side]["lines"]
        assert "write     SGE_STAT_CFG" in line
        assert f" StatSource={source}" in line


def test_the_kernels_own_parser_reads_our_ktap(tree: Tree) -> None:
    def attempt(on_output: Callable[[str], None], on_booted: Callable[[], None]) -> int:
        on_output("KTAP version 1\n1..2\nok 1 link\nnot ok 2 ping\n")
        return 1

    with (tree.folder / "ktap").open("w") as file, contextlib.redirect_stdout(file):
        run_as_test("works.sh", attempt)
    done = tree.run("python3", "tools/testing/kunit/kunit.py", "parse", "ktap", check=False)
    said = done.stdout + done.stderr
    assert "works.sh (2 subtests)" in said
    assert "[PASSED] link" in said
    assert "[FAILED] ping" in said
    assert "Testing complete. Ran 2 tests: passed: 1, failed: 1" in said


def test_the_kernels_own_parser_reads_a_sweeps_ktap(tree: Tree) -> None:
    (tree.folder.parent / "said").write_text("KTAP version 1\n1..2\nok 1 link\nnot ok 2 ping\n")
    rows = [
        made(Cell("t62100-cr")),
        made(Cell("t62100-cr", KERNEL), Result.FAIL, why="ping failed", files={"output": "said"}),
        made(Cell("t520-cr", fault="parity-mc1"), Result.SKIP, why="it has no MC1"),
        made(Cell("t520-cr"), Result.ERROR, why="killed"),
    ]
    with (tree.folder / "ktap").open("w") as file, contextlib.redirect_stdout(file):
        print_rows(rows, tree.folder.parent)
    done = tree.run("python3", "tools/testing/kunit/kunit.py", "parse", "ktap", check=False)
    said = done.stdout + done.stderr
    assert f"t62100-cr_{KERNEL}_healthy_0 (2 subtests)" in said
    assert "[PASSED] t62100-cr_none_healthy_0" in said
    assert "[SKIPPED] t520-cr_none_parity-mc1_0" in said
    assert "Testing complete. Ran 5 tests: passed: 2, failed: 2, skipped: 1" in said


def test_the_kernels_own_script_finds_the_configuration_where_we_do(tree: Tree) -> None:
    path = tree.folder.parent / "image"
    path.write_bytes(kernel_parts.image(gzip.compress(kernel_parts.ikconfig("CONFIG_X=y\n"))))
    said = tree.run("scripts/extract-ikconfig", path).stdout
    assert said == kernel_image.config(path) == "CONFIG_X=y\n"


def test_an_image_is_unpacked_to_its_kernel(prepared, progress) -> None:
    for kernel in (prepared.kernel, stock_kernel("6.1", progress)):
        assert f"Linux version {kernel.release} ".encode() in kernel_image.kernel(kernel.image)


def test_a_source_that_is_newer_than_its_object_is_told(tree: Tree) -> None:
    path = tree.folder / DRIVER / "t4_regs.h"
    times = path.stat().st_atime, path.stat().st_mtime
    os.utime(path)
    done = spawned(
        *("guest", "run", "--kernel", tree.folder, "--card", "t62100-cr", "--ktap"),
        *("--script", "/dev/null", "--console", tree.folder.parent / "console"),
    )
    os.utime(path, times)
    assert done.returncode == 125
    assert f"{DRIVER}/t4_regs.h is newer than what was built of it" in done.stderr


def test_a_kernel_of_ones_own_dumps_an_adapter_that_is_served_already(
    tree: Tree, tmp_path: Path
) -> None:
    card = ("--card", "t62100-cr", "--socket", tmp_path / "card.sock", "--map-window")
    with emulated(*card, stderr=subprocess.DEVNULL) as emulator:
        assert ready(emulator)
        done = spawned(
            *("guest", "kdump", "--kernel", tree.folder, "--socket", tmp_path / "card.sock"),
            *("--notes-only", "-o", tmp_path / "vmcore"),
            timeout=SECONDS,
        )
    assert done.returncode == 0, done.stderr
    assert "cxgb4_0000:00:02.0" in done.stdout


@pytest.fixture(scope="module", params=["6.1", "6.12", "newest"])
def stock(request: pytest.FixtureRequest, progress) -> tuple[StockKernel, Path]:
    """A kernel of Debian's, and the folder in which its packages were unpacked."""
    kernel = stock_kernel(request.param, progress)
    folders = debs.cache_dir().glob(f"debs/debian-kernel-{request.param}-*")
    (root,) = (one for one in folders if (one / f"usr/lib/modules/{kernel.release}").exists())
    return kernel, root


@pytest.fixture(scope="module")
def packed(stock: tuple[StockKernel, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its packages, as they were: one, or a folder of two where it has its image with the modules,
    which are another's."""
    kernel, root = stock
    folder, modules = tmp_path_factory.mktemp("packed"), Path("usr/lib/modules", kernel.release)
    image = modules / "vmlinuz"
    if not (root / image).exists():
        return deb(folder / "image", root, ["boot", modules])
    deb(folder / "binary", root, [image])
    deb(folder / "modules", root, [one.relative_to(root) for one in (root / modules).iterdir()])
    return folder


def deb(name: Path, root: Path, paths: Sequence[Path | str]) -> Path:
    """Makes a package of what is in a root folder at these paths, but for an image below them."""
    for path in paths:
        to = name / path
        to.parent.mkdir(parents=True, exist_ok=True)
        if (root / path).is_dir():
            shutil.copytree(root / path, to, symlinks=True)
        elif to.name != "vmlinuz" or len(paths) == 1:
            shutil.copyfile(root / path, to)
    (name / "DEBIAN").mkdir()
    control = "Package: x\nVersion: 1\nArchitecture: amd64\nMaintainer: me\nDescription: x\n"
    (name / "DEBIAN/control").write_text(control)
    path = name.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "-Znone", "-b", name, path], check=True, capture_output=True)
    shutil.rmtree(name)
    return path


def test_a_distributions_kernel_boots_from_its_packages(
    stock: tuple[StockKernel, Path], packed: Path, tmp_path: Path
) -> None:
    """9p and the driver are modules, which are compressed and signed; one is replaced by itself."""
    kernel, _ = stock
    (tmp_path / "test.sh").write_text("#!/bin/sh\nuname -r\nmodprobe veth && ethtool -i eth0\n")
    done = spawned(
        *("guest", "run", "--kernel", packed, "--card", "t62100-cr", "--driver"),
        *("--module", kernel.modules["cxgb4"], "--script", tmp_path / "test.sh", "--ktap"),
        *("--console", tmp_path / "console"),
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert f"# {kernel.release}\n# driver: cxgb4\n" in done.stdout
    assert f"{packed} brings its modules" in done.stderr


def test_debians_packages_are_told_to_lack_device_dumps(packed: Path, tmp_path: Path) -> None:
    done = spawned(
        *("guest", "kdump", "--kernel", packed, "--card", "t62100-cr"),
        *("-o", tmp_path / "vmcore"),
        timeout=SECONDS,
    )
    assert done.returncode == 1
    assert "CONFIG_PROC_VMCORE_DEVICE_DUMP=y  (the driver adds its dump" in done.stderr
    assert not (tmp_path / "vmcore").exists()
