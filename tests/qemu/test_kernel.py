"""The kernel's source, configuration and build, without building one."""

from __future__ import annotations

import dataclasses
import os
import re

import pytest

from vmcoredd import debs
from vmcoredd.qemu import kernel
from vmcoredd.qemu.errors import BuildError, GuestError
from vmcoredd.qemu.kernel_tools import BuildTools


def test_the_configuration_enables_the_options_for_a_device_dump():
    wanted = set(kernel.CONFIG.read_text().splitlines())
    assert "CONFIG_PROC_VMCORE_DEVICE_DUMP=y" in wanted
    assert "CONFIG_CHELSIO_T4=m" in wanted  # a module: if built in, its oops would panic the kernel


@pytest.mark.parametrize("name", kernel.SUITES)
def test_the_configuration_sets_no_option_twice(name):
    names = re.findall(r"(?m)^(CONFIG_\w+)=", kernel.options(name))
    assert len(names) == len(set(names))


def test_one_kernel_has_vfio_without_an_iommu_too():
    has = [name for name in kernel.SUITES if "CONFIG_VFIO_NOIOMMU=y" in kernel.options(name)]
    assert has == ["6.12"]
    assert kernel.options("6.12").endswith(kernel.options("6.1"))


def test_an_option_dropped_by_kconfig_is_an_error(tmp_path):
    made, log = tmp_path / ".config", tmp_path / "log"
    made.write_text(kernel.CONFIG.read_text().replace("CONFIG_PROC_VMCORE=y", ""))
    log.touch()
    with pytest.raises(BuildError, match=r"dropped by Kconfig: CONFIG_PROC_VMCORE=y"):
        kernel._check_config(kernel.options("6.1"), made, log)


def test_an_option_that_newer_kernels_lack_may_be_missing(tmp_path):
    made = tmp_path / ".config"
    made.write_text(kernel.CONFIG.read_text().replace("CONFIG_SLUB=y", ""))
    kernel._check_config(kernel.options("6.1"), made, tmp_path / "log")


def test_a_complete_configuration_passes(tmp_path):
    kernel._check_config(kernel.options("6.1"), kernel.CONFIG, tmp_path / "log")


@pytest.fixture
def build(tmp_path) -> kernel.Build:
    tools = BuildTools(dict(os.environ))
    return kernel.Build(tmp_path, tmp_path, tmp_path / "log", tools, 0, lambda what, part: None)


def test_a_step_that_fails_raises_with_the_end_of_its_log(build):
    (build.tree / "Makefile").write_text("all:\n\t@echo cannot go on; exit 3\n")
    with pytest.raises(BuildError, match=r"building it failed\n(.|\n)*cannot go on"):
        build.make("building it", "all")


def test_a_step_reports_its_progress(build):
    reported: list[float | None] = []
    build = dataclasses.replace(build, progress=lambda what, part: reported.append(part))
    build.run("counting", "seq", "30", steps=60)
    assert reported == [0.0, 10 / 60, 20 / 60, 30 / 60]


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debs.Unavailable, match="apt-get install gcc binutils make tar xz-utils"):
        kernel.build_kernel()


def test_a_full_disk_is_reported_before_the_build(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(GuestError, match="Set XDG_CACHE_HOME to another disk"):
        kernel._check_disk(tmp_path)


def test_an_unknown_kernel_is_refused_with_the_known_ones():
    with pytest.raises(GuestError, match=r"no kernel '2\.4': choose one of 6\.1"):
        kernel.kernel_source("2.4")
