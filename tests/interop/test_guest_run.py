"""`vmcoredd guest run` with a kernel of Debian's, from the command line to the exit code."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cliruns import spawned
from stock import BOOT, KERNEL, pings

pytestmark = [pytest.mark.guest, pytest.mark.interop]
PING = """#!/bin/sh
ip netns add peer
ip link set eth1 netns peer
ip addr add 10.0.0.1/24 dev eth0
ip link set eth0 up
ip netns exec peer ip addr add 10.0.0.2/24 dev eth1
ip netns exec peer ip link set eth1 up
until grep -q 1 /sys/class/net/eth0/carrier; do sleep 0.1; done
ping -c 3 -i 0.2 10.0.0.2 || exit
cat "$ODD/told" || exit
touch "$ODD/told" && exit 7
"""


def test_a_script_sends_frames_from_port_to_port_and_its_exit_code_is_passed_on(
    tmp_path: Path,
) -> None:
    odd = tmp_path / " an odd, 'name' "
    odd.mkdir()
    (odd / "told").write_text("read in the guest\n")
    (tmp_path / "ping.sh").write_text(PING.replace("$ODD", str(odd)))
    done = spawned(
        *("guest", "run", "--kernel", KERNEL, "--card", "t62100-cr", "--wire", "0=1"),
        *("--pcap", f"0={tmp_path / 'port0.pcapng'}", "--script", tmp_path / "ping.sh"),
        *("--root", "/usr", "--root", odd, "--console", tmp_path / "console"),
        timeout=BOOT,
    )
    assert done.returncode == 7, done.stderr
    assert "3 packets transmitted, 3 received, 0% packet loss" in done.stdout
    card = "card a: t62100-cr at 0000:01:00.0, scene fresh, control socket /"
    assert re.search(rf"(?m)^{card}.*\.ctl\nport a\.0: port a\.1$", done.stderr)
    assert "read in the guest\n" in done.stdout
    assert f"the guest can read {odd}, /usr of this machine\n" in done.stderr
    assert (tmp_path / "port0.pcapng").stat().st_size > 1000


DUMP = f"""#!/bin/sh
join-wires eth0=eth1 && {pings("10.9.1.2")} || exit
ethtool -W eth0 3 && ethtool -w eth0 data /tmp/dump || exit
{pings("10.9.1.2")} && wc -c </tmp/dump
dmesg | grep -c 'soft lockup'
"""


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="VMCOREDD_THOROUGH=1, make test-long"
)
def test_a_guest_that_maps_the_window_dumps_all_memories_without_a_stall(tmp_path: Path) -> None:
    (tmp_path / "dump.sh").write_text(DUMP)
    done = spawned(
        *("guest", "run", "--kernel", KERNEL, "--card", "t62100-cr", "--wire", "0=1"),
        *("--map-window", "--script", tmp_path / "dump.sh", "--console", tmp_path / "console"),
        timeout=2 * BOOT,
    )
    assert done.stdout.splitlines()[-2:] == ["33558232", "0"]
