"""The checks of servers: a good server passes them, and each flaw of another is found."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flawed
import pytest
from flawed import Proxy
from jsonschema import ValidationError
from pyvfio_user.conformance import CHECKS, Outcome, Section, Target
from vfio_device import SIZE, Device
from vfio_peers import ERROR, REPLY, Peer, scripted_server

from pyvfio_user import Area, __main__, conformance, memory_file

NOT_OFFERED = {
    "region-io-descriptors",
    *(check.name for check in CHECKS if check.section is conformance.Section.MIGRATION),
}
"""What our server does not have."""
PATIENCE = 30.0


@pytest.fixture
def full(make_device: Callable[[], Device]) -> Iterator[Device]:
    """A device with everything that our server offers, whose BAR must not be accessed."""

    def access(offset: int, data: memoryview, is_write: bool) -> None:
        accesses.append(offset)

    accesses: list[int] = []
    device = make_device()
    area = Area(memory_file("bar", SIZE), 0x1000, 0x1000, 0x2000)
    device.server.region(0, SIZE, access, bits64=True, mmap=area)
    device.server.region(5, 8, access, memory=False)
    device.server.irqs(intx=1, msi=4, msix=8)
    with device.serving():
        yield device
    os.close(area.fd)
    assert accesses == []


def outcomes(path: str, *names: str, deadline: float = PATIENCE) -> dict[str, Outcome]:
    report = conformance.run(Target(path, deadline), names)
    return {result.check: result.outcome for result in report.results}


def test_our_server_passes_every_check_of_what_it_offers(full: Device) -> None:
    report = conformance.run(Target(full.path, PATIENCE))
    bad = [r for r in report.results if r.outcome in (Outcome.FAIL, Outcome.NOT_RUN)]
    assert bad == []
    missing = {r.check for r in report.results if r.outcome is Outcome.NOT_OFFERED}
    assert missing == NOT_OFFERED
    assert report.exit_code == 0


def test_what_a_device_lacks_is_not_offered(device: Device) -> None:
    """It has MSI-X, but no area to map."""
    assert outcomes(device.path, "region-descriptors", "region-capabilities-need-room") == {
        "region-descriptors": Outcome.NOT_OFFERED,
        "region-capabilities-need-room": Outcome.NOT_OFFERED,
    }


DMA = [check.name for check in CHECKS if check.section is conformance.Section.DMA]
ACCEPTED = [
    "short-payloads",
    "missing-payloads",
    "unknown-command",
    "commands-of-a-server",
    "missing-regions",
    "missing-interrupts",
    "reads-out-of-bounds",
    "writes-out-of-bounds",
    "accesses-to-missing-regions",
    "write-with-another-count",
    "read-beyond-the-limit",
    "vectors-out-of-bounds",
    "interrupt-indexes-out-of-bounds",
    "flags-exclude-each-other",
    "descriptors-match-their-count",
    "booleans-match-their-count",
    "size-below-the-header",
    "size-zero",
    "size-huge",
    "reply-to-no-request",
    "version-other-major",
    "version-broken-data",
    "version-first",
]
JSON = b'{"capabilities":{"migration":{"pgsize":4096}}}\0'
FLAWS = [
    ("every error is a success", Proxy(flawed.accepts_everything), ACCEPTED),
    ("ids", Proxy(flawed.changed(id=77)), ["id-is-echoed", "ids-may-repeat", "pipelined-commands"]),
    ("commands", Proxy(flawed.changed(command=5)), ["id-is-echoed", "device-info"]),
    ("type", Proxy(flawed.changed(flags=2)), ["id-is-echoed", "reset"]),
    (
        "errors with a payload",
        Proxy(flawed.explains_errors),
        ["errors-are-headers"],
    ),
    (
        "EINVAL for everything",
        Proxy(flawed.confuses_errors),
        ["memory-is-mapped-once", "memory-overlaps"],
    ),
    (
        "replies are cut",
        Proxy(flawed.cuts),
        ["device-info", "device-info-size", "regions-are-described", "interrupts-are-described"],
    ),
    ("no device info", Proxy(flawed.refuses(4)), ["device-info", "reset"]),
    ("no region info", Proxy(flawed.refuses(5)), ["regions-are-described", "region-descriptors"]),
    ("no interrupt info", Proxy(flawed.refuses(7)), ["interrupts-are-described"]),
    ("no interrupts", Proxy(flawed.refuses(8)), ["eventfd-is-signalled", "index-is-disabled"]),
    ("no memory", Proxy(flawed.refuses(2)), ["memory-is-mapped-and-unmapped"]),
    ("no unmapping", Proxy(flawed.refuses(3)), ["memory-is-mapped-and-unmapped"]),
    ("no reset", Proxy(flawed.refuses(13)), ["reset"]),
    (
        "no writes",
        Proxy(flawed.refuses(10)),
        ["config-space-writes", "posted-writes-keep-their-order"],
    ),
    (
        "replies that nobody wants",
        Proxy(requests=flawed.wants_replies),
        ["no-reply-bit", "no-reply-bit-of-an-error"],
    ),
    (
        "writes of zeros",
        Proxy(requests=flawed.loses_payloads),
        ["config-space-writes"],
    ),
    (
        "descriptors are kept",
        Proxy(keeps=os.dup),
        ["unexpected-descriptors"],
    ),
    (
        "memory is kept",
        Proxy(keeps=flawed.keeps_memory),
        ["memory-is-released", "unmapping-everything", "memory-is-forgotten"],
    ),
    (
        "a higher minor version",
        Proxy(flawed.says_version(struct.pack("<HH", 0, 1))),
        ["version-lower-minor"],
    ),
    ("another major", Proxy(flawed.says_version(struct.pack("<HH", 1, 0))), ["version-reply"]),
    (
        "a capability that was not proposed",
        Proxy(flawed.says_version(struct.pack("<HH", 0, 1) + JSON)),
        ["version-subset"],
    ),
    (
        "no NUL",
        Proxy(flawed.says_version(struct.pack("<HH", 0, 1) + JSON[:-1])),
        ["version-reply"],
    ),
]


@pytest.mark.parametrize(
    ("proxy", "names"), [flaw[1:] for flaw in FLAWS], ids=[f[0] for f in FLAWS]
)
def test_a_flaw_fails_the_checks_that_are_about_it(
    full: Device, tmp_path: Path, proxy: Proxy, names: list[str]
) -> None:
    path = str(tmp_path / "flawed")
    with proxy.serving(path, full.path):
        extra = ["unknown-command"] if names == ["errors-are-headers"] else []
        found = outcomes(path, *names, *extra, deadline=1.0)
    assert {name: found[name] for name in names} == dict.fromkeys(names, Outcome.FAIL)


def test_a_server_that_falls_silent_fails_in_bounded_time(full: Device, tmp_path: Path) -> None:
    path = str(tmp_path / "flawed")
    with Proxy(flawed.swallows).serving(path, full.path):
        report = conformance.run(Target(path, 1.5), ["device-info"])
    (result,) = report.results
    assert (result.outcome, result.reason) == (Outcome.FAIL, "no reply within 1.5 s")
    assert report.exit_code == 1


def test_a_server_that_ends_leaves_checks_that_cannot_run(path: str) -> None:
    """A listener that serves one client only, and says nothing to it but its version."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(struct.pack("<HHIII", 0x100, 1, 20, 1, 0) + b"\0\0\1\0")
            listener.close()
            os.unlink(path)

        thread = threading.Thread(target=serve)
        thread.start()
        report = conformance.run(Target(path, 0.3), ["device-info", "version-without-data"])
        thread.join()
    assert {result.outcome for result in report.results} == {Outcome.NOT_RUN}
    assert report.exit_code == 2


def test_requests_of_the_servers_are_refused_and_end_no_check(path: str) -> None:
    """It asks for memory before each reply."""
    refusals = []

    def serve(peer: Peer) -> None:
        peer.accept_version()
        while True:
            asked = peer.receive()
            refusals.append(peer.ask(11, struct.pack("<QQ", 0x1000, 4), id=9))
            peer.answer(asked, struct.pack("<IIII", 16, 2, 9, 5))

    listening = threading.Event()

    def twice() -> None:
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with scripted_server(path, serve):
                listening.set()

    thread = threading.Thread(target=twice)
    thread.start()
    assert listening.wait(PATIENCE)
    assert outcomes(path, "device-info") == {"device-info": Outcome.PASS}
    thread.join()
    assert [(reply.id, reply.command, reply.flags) for reply in refusals] == [
        (9, 11, REPLY | ERROR)
    ]


def test_each_check_says_what_the_protocol_demands() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) > 60
    for check in CHECKS:
        assert check.says[:1].isupper()
        assert check.says.rstrip(")").endswith("."), check


# The command


def command(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = __main__.main(words)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_reports_by_section(full: Device, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command("check", full.path, "--only", "reset", capsys=capsys)
    assert code == 0
    assert "\nreset\n  pass         reset: A device with the flag" in out
    assert out.endswith(f"{full.path}: 1 pass, 0 fail, 0 not offered, 0 not run\n")


def test_the_commands_json_has_counts_and_checks(
    full: Device, capsys: pytest.CaptureFixture[str], described: Callable[[str], Any]
) -> None:
    names = ("--only", "dirty-pages", "--only", "device-info")
    code, out, _ = command("check", full.path, "--json", *names, capsys=capsys)
    report = described(out)
    assert code == 0
    assert report["counts"] == {"pass": 1, "fail": 0, "not offered": 1, "not run": 0}
    assert [row["check"] for row in report["checks"]] == ["device-info", "dirty-pages"]
    assert report["checks"][1]["reason"] == "the server logs no dirty pages"


def test_the_schema_has_the_sections_and_outcomes_that_there_are(
    described: Callable[[str], Any],
) -> None:
    def report(section: str, outcome: str) -> str:
        row = {"section": section, "check": "x", "says": "X.", "outcome": outcome, "reason": ""}
        counts = {one.value: 0 for one in Outcome}
        return json.dumps({"socket": "s", "counts": counts, "checks": [row]})

    for section in Section:
        for outcome in Outcome:
            described(report(section.value, outcome.value))
    with pytest.raises(ValidationError):
        described(report("another", "pass"))


def test_a_failed_check_is_the_commands_code_1(
    full: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "flawed")
    with Proxy(flawed.refuses(13)).serving(path, full.path):
        code, out, _ = command("check", path, "--only", "reset", capsys=capsys)
    assert code == 1
    assert "  fail         reset: " in out
    assert "               DEVICE_RESET is refused with EINVAL\n" in out


@pytest.mark.parametrize("name", ["check", "probe"])
def test_a_server_that_is_not_there_is_code_2(
    path: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(name, path, "--deadline", "0.1", capsys=capsys)
    assert (code, out) == (2, "")
    assert f"cannot connect to {path}: No such file" in err


def test_a_command_after_two_dashes_starts_the_server(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = (
        "import sys, pyvfio_user as p; s = p.Server(sys.argv[1]); "
        "s.config_space(p.pci.header(1, 2)); s.run()"
    )
    start = ("--", sys.executable, "-c", server, path)
    words = ("check", path, "--only", "next-client", "--deadline", "60", *start)
    assert command(*words, capsys=capsys)[0] == 0
    assert not os.path.exists(path)


def test_a_command_that_does_not_start_is_code_2(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = command("check", path, "--", "/no/such/server", capsys=capsys)
    assert code == 2
    assert "cannot start /no/such/server" in err
    code, _, err = command("check", path, "--", "false", capsys=capsys)
    assert code == 2
    assert "ended with code 1" in err


def test_a_live_server_at_the_socket_is_not_replaced(
    full: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = command("check", full.path, "--", "false", capsys=capsys)
    assert code == 2
    assert "another server listens there" in err
    assert os.path.exists(full.path)
