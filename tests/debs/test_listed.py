"""The packages that apt would download, as `--print-uris` lists them."""

from __future__ import annotations

from vmcoredd.debs.packages import _names

LISTED = """Reading package lists...
The following NEW packages will be installed:
  kmod linux-image-6.1.0-50-amd64 linux-image-amd64
'http://mirror/pool/k/kmod_30_amd64.deb' kmod_30%2b20221128-1_amd64.deb 91928 SHA256:00
'http://mirror/pool/l/i.deb' linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb 69017740 SHA256:01
'http://mirror/pool/l/m.deb' linux-image-amd64_6.1.176-1_amd64.deb 1476 SHA256:02
"""


def test_each_package_that_would_be_downloaded_is_named_once() -> None:
    assert _names(LISTED) == ["kmod", "linux-image-6.1.0-50-amd64", "linux-image-amd64"]


def test_output_without_packages_names_none() -> None:
    assert _names("Reading package lists...\n0 upgraded, 0 newly installed\n") == []
