"""The kernel's build, as far as it goes without building one."""

from __future__ import annotations

import re

import pytest

from qemu import kernel, sources
from qemu.errors import BuildError, GuestError


def test_the_configuration_asks_for_what_a_device_dump_needs():
    wanted = set(kernel.CONFIG.read_text().splitlines())
    assert "CONFIG_PROC_VMCORE_DEVICE_DUMP=y" in wanted
    assert "CONFIG_CHELSIO_T4=m" in wanted  # a module: built in, its oops would panic the kernel


def test_the_configuration_names_nothing_twice():
    names = re.findall(r"(?m)^(CONFIG_\w+)=", kernel.CONFIG.read_text())
    assert len(names) == len(set(names))


def test_an_option_that_kconfig_dropped_is_an_error(tmp_path):
    made, log = tmp_path / ".config", tmp_path / "log"
    made.write_text(kernel.CONFIG.read_text().replace("CONFIG_PROC_VMCORE=y", ""))
    log.touch()
    with pytest.raises(BuildError, match=r"dropped by Kconfig: CONFIG_PROC_VMCORE=y"):
        kernel._check_config(made, log)


def test_an_option_that_newer_kernels_lack_may_be_dropped(tmp_path):
    made = tmp_path / ".config"
    made.write_text(kernel.CONFIG.read_text().replace("CONFIG_SLUB=y", ""))
    kernel._check_config(made, tmp_path / "log")


def test_a_complete_configuration_passes(tmp_path):
    kernel._check_config(kernel.CONFIG, tmp_path / "log")


def test_an_unknown_kernel_is_refused_with_those_there_are():
    with pytest.raises(GuestError, match=r"no kernel '2\.4': there are 6\.1"):
        sources.source("2.4")
