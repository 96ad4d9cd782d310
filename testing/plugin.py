"""The plugin that pytest loads (entry point `vmcoredd`): marks, options, fixtures, and a section in
the report of a failed test.

Every run of pytest imports this module, so it imports no room: fixtures do, when a test asks.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from vmcoredd import driver, emu
    from vmcoredd import vmcore as vmcores
    from vmcoredd.testing.guests import RunningGuest
    from vmcoredd.testing.marks import Arguments
    from vmcoredd.testing.seen import Watched

KERNEL = "debian:6.1"
MARKS = (
    "vmcoredd(card='t62100-cr', seed=0, faults=[], scene=None, strict=False, wires=[], "
    "kernel=None): the card of the fixtures card, served_card, adapter, vmcore and guest. "
    "`vmcoredd cards` lists cards, with --faults faults. Marks of a class or module hold for its "
    "tests too; the nearest wins, argument by argument.",
    "vmcoredd_needs(name, ...): skips a test, or fails it with --vmcoredd-strict, where the "
    "machine lacks what it needs: server, qemu, kernel, headers, root.",
)
SAID = "vmcoredd: "
"""Begins the reasons why tests are skipped."""
WATCHED: pytest.StashKey[Watched] = pytest.StashKey()
"""Of a test, or of the module that shares a guest: the card that was made for it."""
Node = pytest.Item | pytest.Collector


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options, and ini options for what a project decides once."""
    group = parser.getgroup("vmcoredd", "emulated cards (vmcoredd)")
    group.addoption(
        "--vmcoredd-strict",
        action="store_true",
        help="a test whose needs this machine does not meet is an error, not skipped",
    )
    group.addoption(
        "--vmcoredd-prepare",
        action="store_true",
        help="download and build what tests with guests need, instead of skipping them",
    )
    group.addoption(
        "--vmcoredd-kernel", metavar="NAME", help=f"the guests' kernel (default: {KERNEL})"
    )
    parser.addini("vmcoredd_strict", "as --vmcoredd-strict", type="bool", default=False)
    parser.addini("vmcoredd_kernel", "as --vmcoredd-kernel", default=KERNEL)


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Checks a test's marks, and that this machine has what it needs."""
    if any(item.iter_markers("vmcoredd")):
        _arguments(item)
    for mark in item.iter_markers("vmcoredd_needs"):
        _require(item, *(mark.args or [""]), *mark.kwargs)
    if module := _module_of_guest(item):
        module.stash[WATCHED].begin()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Refuses a mark that comes too late: a module's tests share its guest."""
    module = _module_of_guest(item)
    if module and _arguments(item) != _arguments(module):
        _fail(
            f"{item.name}: the module's tests share a guest, so its card is what the module says: "
            "pytestmark = pytest.mark.vmcoredd(...); or break guest.card in the test"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what the cards saw to the report of a failed test."""
    report = yield
    if report.failed:
        for node in filter(None, (item, _module_of_guest(item))):
            if watched := node.stash.get(WATCHED, None):
                report.sections += watched.sections()
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says why tests were skipped for what the machine lacks, also without -rs."""
    skipped = terminalreporter.stats.get("skipped", [])
    texts = (r.longrepr[2] for r in skipped if isinstance(r.longrepr, tuple))
    reasons = [text.partition(SAID)[2] for text in texts if SAID in text]
    if reasons:
        terminalreporter.section("vmcoredd: skipped, an error with --vmcoredd-strict")
    for reason, count in Counter(reasons).items():
        terminalreporter.write_line(f"{count} x {reason}")


# Fixtures


@pytest.fixture
def card(request: pytest.FixtureRequest) -> Iterator[emu.Card]:
    """An emulated card in this process, as `@pytest.mark.vmcoredd` describes it.

    By default a t62100-cr, seed 0, in the scene "crashed": what a driver left. `card.fail(name)`
    breaks it later, `card.read(offset)` reads a register, `card.access_log` has what a driver did
    that no card accepts.
    """
    from vmcoredd.emu import Scene

    with _watched(request.node, Scene.CRASHED) as made:
        yield made


@pytest.fixture
def served_card(request: pytest.FixtureRequest, card: emu.Card) -> Iterator[Path]:
    """The path of a vfio-user socket on which a thread serves `card`.

    For a driver with any client of the protocol: `pyvfio_user.Client(served_card)`,
    `vmcoredd.driver.open(served_card)`, QEMU. Use `card` itself only while no client accesses it.
    """
    _require(request.node, "server")
    from vmcoredd.emu.server import served

    with tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder:  # a socket's path is short
        path = Path(folder) / "card.sock"
        with served(card, path):
            yield path


@pytest.fixture
def adapter(card: emu.Card) -> Iterator[driver.Adapter]:
    """The adapter that vmcoredd's user-space driver makes of `card`, probed.

    `adapter.chip`, `adapter.io` for registers, and `adapter.collect(buffer)`, which dumps it and
    returns a report with `good` and `failed` entities. A card that does not come up is an error,
    `vmcoredd.driver.ProbeError`.
    """
    from vmcoredd import driver

    with driver.open_card(card) as opened:
        yield opened


@pytest.fixture
def vmcore(adapter: driver.Adapter, tmp_path: Path) -> Iterator[vmcores.Reader]:
    """A vmcore that holds the device dump of `adapter`: a `vmcoredd.vmcore.Reader`.

    `vmcore.path` is its path, `vmcore.device_dumps` has the one note, and
    `vmcoredd.cudbg.Dump(vmcore.payload(note.index))` takes it apart.
    """
    from vmcoredd import driver
    from vmcoredd import vmcore as vmcores

    path, dumps = tmp_path / "vmcore", vmcores.DeviceDumps()
    dumps.add_device_dump(driver.dump_name("0000:01:00.4"), *adapter.device_dump())
    vmcores.write(path, dumps)
    dumps.close()
    with vmcores.Reader(path) as reader:
        yield reader


@pytest.fixture(scope="module")
def guest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGuest]:
    """A guest under QEMU, booted once a module, with the card that the module's mark describes.

    `guest.run(script)` returns code and output, `guest.build_module(folder)` builds a kernel module
    for it, `guest.card` is the card (by default in the scene "fresh", as after power-on) and
    `guest.address` where the guest has it. Skipped where QEMU or the kernel is not there;
    --vmcoredd-prepare gets them.
    """
    _require(request.node, "server", "qemu", "kernel")
    from vmcoredd.debs import Unavailable
    from vmcoredd.emu import Scene
    from vmcoredd.testing.guests import CONSOLE, booted
    from vmcoredd.testing.needs import shown

    node, folder = request.node, tmp_path_factory.mktemp("guest")

    def before_build() -> None:
        _require(node, "headers")

    try:
        with (
            _watched(node, Scene.FRESH, folder / CONSOLE) as made,
            booted(made, _kernel(node), folder, shown(node.config), before_build) as running,
        ):
            node.stash[WATCHED].settle_console = running.settle_console
            yield running
    except Unavailable as error:
        _lack(node, str(error))


# Marks and needs


@contextlib.contextmanager
def _watched(node: Node, scene: emu.Scene, console: Path | None = None) -> Iterator[emu.Card]:
    """Makes the card that a node's marks describe, and watches it until it is used no more."""
    mark = _arguments(node)
    from vmcoredd.testing.marks import BadMark
    from vmcoredd.testing.seen import Watched

    try:
        card = mark.make(scene)
    except BadMark as error:
        _fail(str(error))
    node.stash[WATCHED] = Watched(card, mark, console)
    try:
        yield card
    finally:
        del node.stash[WATCHED]


def _arguments(node: Node) -> Arguments:
    """Returns what a node's marks say of its card."""
    _require(node, "card")
    from vmcoredd.testing.marks import BadMark, arguments

    try:
        return arguments(node)
    except BadMark as error:
        _fail(str(error))


def _require(node: Node, *names: str) -> None:
    """Skips or fails a test that needs what this machine lacks."""
    from vmcoredd.testing import needs

    for name in names:
        if name not in needs.NEEDS:
            known = ", ".join(needs.NEEDS)
            _fail(f"pytest.mark.vmcoredd_needs: no need {name!r}; choose from {known}")
        kernel = _kernel(node) if name in needs.OF_KERNELS else ""
        if node.config.getoption("vmcoredd_prepare"):
            reason = needs.prepare(name, kernel, needs.shown(node.config))
        else:
            reason = needs.lacking(name, kernel)
        if reason:
            _lack(node, f"needs {name}: {reason}")


def _kernel(node: Node) -> str:
    """Returns the kernel of a node's guest."""
    from vmcoredd.qemu.errors import GuestError
    from vmcoredd.qemu.kernels import check_kernel

    config = node.config
    marked = [mark.kwargs.get("kernel") for mark in node.iter_markers("vmcoredd")]
    chosen = [*marked, config.getoption("vmcoredd_kernel"), config.getini("vmcoredd_kernel")]
    try:
        return check_kernel(next(filter(None, chosen)))
    except GuestError as error:
        _fail(str(error))


def _lack(node: Node, reason: str) -> NoReturn:
    if node.config.getoption("vmcoredd_strict") or node.config.getini("vmcoredd_strict"):
        _fail(f"{SAID}{reason} (--vmcoredd-strict)")
    pytest.skip(f"{SAID}{reason}")


def _fail(message: str) -> NoReturn:
    raise pytest.fail.Exception(message, pytrace=False) from None


def _module_of_guest(item: pytest.Item) -> pytest.Module | None:
    """Returns the module whose tests share a guest of ours, if this test uses it."""
    module = item.getparent(pytest.Module)
    used = "guest" in getattr(item, "fixturenames", ())
    return module if used and module and WATCHED in module.stash else None
