"""Identifying files, and opening only those that can be read."""

from __future__ import annotations

import os
import sys

import pytest
from vmcore_files import Elf, kdump, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.files import identify, open_for_reading


@pytest.mark.parametrize(
    ("data", "form"), [(bytes(Elf([prstatus()])), "elf"), (kdump(prstatus()), "kdump")]
)
def test_both_formats_are_identified_by_their_first_bytes(tmp_path, data, form):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert identify(open_for_reading(path)) == form


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "have an empty file"),
        (b"not a core file at all", r"have first bytes 6e 6f 74 20 61 20 63 6f \(text\)$"),
        (b"\x89PNG\r\n\x1a\n", "have a PNG picture$"),
        (b"PK\3\4\0\0", "have a zip archive"),
        (b"\x7fEL", "have first bytes 7f 45 4c$"),
        (b"makedumpfile\0\0\0\0" + bytes(100), "flattened format .makedumpfile -R rearranges it"),
        (b"DISKDUMP" + bytes(100), "the old diskdump format"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip file"),
    ],
)
def test_another_format_is_named(tmp_path, data, words):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(VmcoreFormatError, match=words):
        identify(open_for_reading(path))


def test_an_executable_is_not_a_core_file():
    with pytest.raises(VmcoreFormatError, match=r"need type 4 \(core file\)"):
        vmcore.Reader(sys.executable)


@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_a_directory_or_pipe_is_refused_without_waiting(tmp_path, kind):
    path = {"directory": tmp_path, "pipe": tmp_path / "pipe", "device": "/dev/null"}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(VmcoreFormatError, match="need a regular file"):
        vmcore.Reader(path)


def test_a_missing_file_raises_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        vmcore.Reader(tmp_path / "none")
