"""Finding a QEMU that can do it; the ones that cannot are small scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmcoredd.qemu.errors import QemuUnusable
from vmcoredd.qemu.machine import probe


def fake(folder: Path, version: str, devices: str, code: int = 0) -> tuple[str]:
    path = folder / "qemu-system-x86_64"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$1" in --version) echo "{version}";; -device) echo \'{devices}\';; esac\n'
        f"exit {code}\n"
    )
    path.chmod(0o755)
    return (str(path),)


def test_a_qemu_with_the_device_is_taken(tmp_path):
    found = probe(fake(tmp_path, "QEMU emulator version 10.1.0", 'name "vfio-user-pci", bus PCI'))
    assert found.version == "10.1.0"
    assert not found.ends_with_parent


def test_an_old_qemu_is_refused_with_what_is_needed(tmp_path):
    command = fake(tmp_path, "QEMU emulator version 7.2.15", 'name "vfio-pci", bus PCI')
    with pytest.raises(QemuUnusable, match=r"7\.2\.15 has no vfio-user-pci: 10\.1 or newer"):
        probe(command)


def test_a_qemu_that_does_not_start_is_refused_with_its_words(tmp_path):
    path = tmp_path / "qemu"
    path.write_text("#!/bin/sh\necho libpixman is missing >&2\nexit 127\n")
    path.chmod(0o755)
    with pytest.raises(QemuUnusable, match="libpixman is missing"):
        probe((str(path),))


def test_a_missing_qemu_is_refused(tmp_path):
    with pytest.raises(QemuUnusable, match="does not answer"):
        probe((str(tmp_path / "none"),))


def test_something_else_of_that_name_is_refused(tmp_path):
    with pytest.raises(QemuUnusable, match="does not tell its version"):
        probe(fake(tmp_path, "hello", ""))
