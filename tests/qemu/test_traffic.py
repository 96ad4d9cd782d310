"""The commands that make load in guests, between two network namespaces of this machine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from vmcoredd.qemu.initramfs import COMPILE, INSIDE

SECONDS = 60
ALONE = ("unshare", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child")
"""Namespaces of its own: what a command leaves behind goes with them."""
SCRIPT = """
cd / && mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && mount -t proc proc /proc || exit
ip link set lo up
for pair in 0:1 2:3; do
    ip link add eth${pair%:*} type veth peer name eth${pair#*:} || exit
done
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `traffic`, `join-wires` and `start-traffic`."""
    folder = tmp_path_factory.mktemp("commands")
    subprocess.run([*COMPILE, "-o", folder / "traffic", INSIDE / "traffic.c"], check=True)
    for name in ("join-wires", "start-traffic"):
        (folder / name).write_bytes((INSIDE / name).read_bytes())
        (folder / name).chmod(0o755)
    return folder


def run(commands: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in namespaces of its own, with two pairs of joined interfaces."""
    environment = {**os.environ, "PATH": f"{commands}:/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(
        [*ALONE, "sh", "-c", SCRIPT + script],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
    )


@pytest.fixture(scope="module")
def namespaces(commands: Path) -> None:
    """Skips on a machine that grants no namespaces or no pair of interfaces."""
    done = run(commands, "")
    if done.returncode:
        pytest.skip(f"no network namespaces on this machine: {done.stderr.strip()}")


@pytest.mark.usefixtures("namespaces")
def test_each_wire_keeps_a_number_of_its_own_whichever_call_joins_it(commands: Path) -> None:
    done = run(
        commands,
        """
join-wires eth0=eth1 && join-wires eth2=eth3 && join-wires eth2=eth3 eth0=eth1 || exit
ip link del eth2 && ip link add eth2 type veth peer name eth3 && join-wires eth2=eth3 || exit
start-traffic 1 2 1 1 >&2
""",
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("eth")]
    first, second = (f": 10.9.{n}.1 and 10.9.{n}.2, fd09:{n}::1 and fd09:{n}::2" for n in (1, 2))
    assert lines == [
        f"eth0=eth1{first}",
        f"eth2=eth3{second}",
        f"eth2=eth3 is joined already{second}",
        f"eth0=eth1 is joined already{first}",
        f"eth2=eth3{second}",
    ]


@pytest.mark.usefixtures("namespaces")
def test_load_of_every_kind_arrives_whole_after_many_streams_that_ended(
    commands: Path,
) -> None:
    done = run(
        commands,
        """
join-wires eth0=eth1 >/dev/null || exit
for again in 1 2 3; do
    traffic send 10.9.1.2 7007 200 0 1 >/dev/null # on a busy machine a stream may not have moved
done
start-traffic 2 1 4 4
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * (4 + 4)
    assert all(line.endswith("lost 0 wrong 0") for line in lines)


@pytest.mark.usefixtures("namespaces")
def test_traffic_on_a_wire_that_is_not_joined_is_refused(commands: Path) -> None:
    done = run(commands, "join-wires eth0=eth1 && start-traffic 1 2")
    assert done.returncode == 1
    assert done.stderr == "start-traffic: 1 wires are joined; see join-wires\n"


@pytest.mark.usefixtures("namespaces")
def test_why_a_flow_cannot_be_or_breaks_is_told_with_its_address(commands: Path) -> None:
    done = run(
        commands,
        """
traffic send 127.0.0.1 7007 1 0 1
traffic send fd09:9::9 7007 1 0 1
traffic send 10.9.9.9 7007 0 1 1
traffic serve 7007 && traffic serve 7007
""",
    )
    assert done.stderr.splitlines() == [
        "traffic: TCP to 127.0.0.1 port 7007: Connection refused",
        "traffic: TCP to fd09:9::9 port 7007: Network is unreachable",
        "traffic: UDP to 10.9.9.9 port 7007: Network is unreachable",
        "traffic: TCP at :: port 7007: Address already in use",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["serve", "http"], "http is no port: type a number up to 65535"),
        (["serve", "70000"], "70000 is no port"),
        (["send", "localhost", "1", "1", "1", "1"], "localhost is no address"),
        (
            ["send", "::1", "1", "-1", "1", "1"],
            "-1 is no number of streams: .* up to 512",
        ),
        (["send", "::1", "1", "500", "13", "1"], "13 is no number of exchanges: .* up to 12"),
        (["send", "::1", "1", "1", "1", "1s"], "1s is no number of seconds"),
    ],
)
def test_wrong_arguments_of_traffic_are_named(commands: Path, words: list[str], says: str) -> None:
    done = subprocess.run([commands / "traffic", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(f"^traffic: {says}", done.stderr)
