"""What a kernel's configuration lacks is told with the options to switch on."""

from __future__ import annotations

import pytest

from vmcoredd.qemu import kernel
from vmcoredd.qemu.kernel_config import (
    BOOT,
    DRIVER,
    DUMP,
    ROOT,
    SHARED,
    Config,
    KernelLacks,
    check,
    check_root,
)

OURS = kernel.CONFIG.read_text()


def changed(*options: str, without: str = "") -> Config:
    """The guests' own configuration with an option taken away, and others added."""
    lines = [line for line in OURS.splitlines() if not line.startswith(f"CONFIG_{without}=")]
    return Config.parse("\n".join([*lines, *options]), "/tree/.config")


def test_the_configuration_of_the_guests_own_kernels_has_all() -> None:
    check(changed(), "/tree", driver=True, dump=True)
    check_root(changed(), "/tree")


@pytest.mark.parametrize("option", [*BOOT, *SHARED, *DRIVER, *DUMP])
def test_an_option_that_a_dump_needs_is_named_with_its_reason_and_the_line_to_type(
    option: str,
) -> None:
    with pytest.raises(KernelLacks) as lacks:
        check(changed(without=option), "/tree", driver=True, dump=True)
    needs = {**BOOT, **SHARED, **DRIVER, **DUMP}
    value = "m" if option in {**SHARED, **DRIVER} else "y"
    first, line, last = str(lacks.value).splitlines()
    assert first == "/tree cannot hold a device dump: its configuration (/tree/.config) lacks"
    assert line == f"  CONFIG_{option}={value}  ({needs[option]})"
    assert f"scripts/config -{'e' if value == 'y' else 'm'} {option} && make olddefconfig" in last


def test_all_that_is_lacking_is_told_at_once() -> None:
    with pytest.raises(KernelLacks) as lacks:
        check(Config.parse("CONFIG_64BIT=y\n# CONFIG_PCI is not set\n", "x"), "x", dump=True)
    said = str(lacks.value)
    assert [option for option in {**BOOT, **SHARED, **DUMP} if f"CONFIG_{option}=" not in said] == [
        "64BIT"
    ]


@pytest.mark.parametrize("option", DUMP)
def test_what_a_dump_needs_a_guest_does_not(option: str) -> None:
    check(changed(without=option), "/tree", driver=True)


def test_only_who_loads_the_driver_needs_it() -> None:
    config = changed(without="CHELSIO_T4")
    check(config, "/tree")
    with pytest.raises(KernelLacks, match=r"CONFIG_CHELSIO_T4=m  \(this is the driver, cxgb4\)"):
        check(config, "/tree", driver=True)


def test_a_module_will_do_except_for_what_must_be_there_before_modules() -> None:
    check(changed("CONFIG_9P_FS=m", "CONFIG_CHELSIO_T4=y"), "/tree", dump=True)
    with pytest.raises(KernelLacks, match=r"SERIAL_8250=y  \(.*; as a module it comes too late"):
        check(changed("CONFIG_SERIAL_8250=m"), "/tree")


def test_without_modules_the_driver_must_be_built_in() -> None:
    lines = OURS.replace("CONFIG_MODULES=y", "").replace("CONFIG_CHELSIO_T4=m", "")
    with pytest.raises(KernelLacks, match="CONFIG_CHELSIO_T4=y"):
        check(Config.parse(lines, "x"), "x", driver=True)


def test_a_kernel_has_at_least_two_serial_ports() -> None:
    with pytest.raises(KernelLacks, match=r"scripts/config --set-val SERIAL_8250_RUNTIME_UARTS 4"):
        check(changed("CONFIG_SERIAL_8250_RUNTIME_UARTS=1"), "/tree")


@pytest.mark.parametrize("option", ROOT)
def test_a_guest_without_the_hosts_folders_needs_no_layer_over_them(option: str) -> None:
    config = changed(without=option)
    check(config, "/tree", dump=True)
    with pytest.raises(KernelLacks, match="or use --root none"):
        check_root(config, "/tree")
