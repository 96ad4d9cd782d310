"""Runs apt-get with a private configuration, which leaves the machine unchanged.

Lists, cache and state are kept in one private folder. Its dpkg status is empty, so no package
counts as installed and every dependency is downloaded. The machine's own apt.conf still applies
underneath (it may name a proxy), but without its hooks. Root is not needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .cache import Progress
from .children import running
from .errors import Unavailable
from .mirrors import Mirror

CONFIGURATION = """\
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::Etc::SourceList "{home}/apt.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{home}/state";
Dir::State::Lists "{home}/lists";
Dir::State::Status "{home}/status";
Dir::Cache "{home}";
Dir::Cache::Archives "{home}/archives";
APT::Sandbox::User "root";
APT::Architectures {{ "{architecture}"; }};
APT::Get::AllowUnauthenticated "false";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
"""


class Apt:
    """apt-get with all its files in the folder `home`."""

    def __init__(self, home: Path, lock: int, progress: Progress) -> None:
        if not shutil.which("apt-get"):
            raise Unavailable("apt-get", "it is not installed", "This needs a Debian machine")
        self.home = home
        self._lock = lock
        self._progress = progress
        for folder in ("state", "lists/partial", "archives/partial"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / "status").touch()
        (home / "apt.conf").write_text(CONFIGURATION.format(home=home, architecture=architecture()))

    def update(self, candidates: Iterable[Mirror], kind: str, suites: tuple[str, ...]) -> Mirror:
        """Downloads the package lists of `suites` from the first of `candidates` that serves them.

        `kind` is `deb` or `deb-src`. Returns that mirror. Raises Unavailable if there is none.
        """
        reasons = []
        for mirror in candidates:
            (self.home / "apt.sources").write_text(mirror.stanza(kind, suites))
            try:
                self.run(f"downloading the package lists of {' '.join(suites)}", "update")
                self._check_origin()
            except Unavailable as error:
                reasons.append(f"{mirror.uri}: {error.why}")
            else:
                return mirror
        raise Unavailable(f"Debian {' '.join(suites)}", "; ".join(reasons), NETWORK)

    def run(self, doing: str, *arguments: str, cwd: Path | None = None) -> str:
        """Runs `apt-get arguments`; returns its output. Raises Unavailable with apt's reason."""
        reader, writer = os.pipe()
        command = ["apt-get", "-q", "-y", "-c", str(self.home / "apt.conf")]
        with (
            running(
                [*command, "-o", f"APT::Status-Fd={writer}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=(log := (self.home / "log").open("w+")),
                stderr=subprocess.STDOUT,
                pass_fds=(writer, self._lock),
                cwd=cwd or self.home,
                env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            ) as process,
            log,
        ):
            os.close(writer)
            with open(reader, errors="replace") as status:
                for line in status:
                    self._report(doing, line)
            process.wait()
            log.seek(0)
            output = log.read()
        if process.returncode:
            raise Unavailable(doing, _reason(output), NETWORK)
        return output

    def _report(self, doing: str, line: str) -> None:
        """Passes on progress from apt's status line `dlstatus:<n>:<percent>:<text>`."""
        words = line.split(":", 3)
        if words[0] == "dlstatus" and len(words) == 4:
            self._progress(doing, float(words[2]) / 100)

    def _check_origin(self) -> None:
        releases = [*(self.home / "lists").glob("*Release")]
        for release in releases:
            if not re.search(r"(?m)^Origin: Debian( Backports)?$", release.read_text()):
                raise Unavailable(release.name, "that archive is not Debian's", NETWORK)


NETWORK = "Check the network and this machine's apt sources (apt-get update)"


def architecture() -> str:
    """Returns dpkg's name for this machine's architecture, such as `amd64`.

    Raises Unavailable without dpkg.
    """
    if not shutil.which("dpkg"):
        raise Unavailable("dpkg", "it is not installed", "This needs a Debian machine")
    done = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _reason(output: str) -> str:
    """Returns apt's first error, or the last line of its output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line[2:].strip() for line in lines if line.startswith("E:")]
    return (errors or lines[-1:] or ["apt-get failed without a message"])[0].rstrip(".")
