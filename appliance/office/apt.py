"""apt in a private folder, set up as one machine's: it checks signatures by its keys, and solves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CommandFailed, Refused
from appliance.host.run import Command, Effect, Host, Output, read
from appliance.model.plan import PatchKind
from appliance.model.wanted import Source, Wanted
from appliance.patching.apt_setup import pins
from appliance.patching.apt_text import UPGRADE

HELPER = "/usr/lib/apt/apt-helper"
UPDATE = 1800.0
SOLVE = 600.0
"""Seconds."""
_FOLDERS = (
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg.d",
    "etc/apt/keys",
    "var/lib/dpkg",
    "var/lib/apt/lists/partial",
    "var/cache/apt/archives/partial",
)
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_URI = re.compile(r"'([^']+)' (\S+) (\d+) (SHA256:[0-9a-f]{64}|SHA512:[0-9a-f]{128}|\S*)")
_INDEX = "$(BASE_URI)|$(REPO_URI)|$(RELEASE)|$(METAKEY)|$(FILENAME)"


@dataclass(frozen=True, slots=True)
class Index:
    """A list of packages that was read. `source` is the machine's own; `lists` the path that its files in
    apt's folder begin with; addresses are those that were fetched from."""

    source: Source
    base: str
    repository: str
    key: str
    lists: str


@dataclass(frozen=True, slots=True)
class Deb:
    """`hash` is "SHA256:..." or empty where the archive names none that can be trusted; `size` in bytes."""

    uri: str
    size: int
    hash: str


def why_not(host: Host) -> tuple[str, ...]:
    """A sentence where this computer has no apt, empty where it has."""
    try:
        host.run(read("apt-get", "--version", timeout=30))
        host.run(read(HELPER, "--version", timeout=30))
    except CommandFailed:
        return (
            "This computer has no apt, which checks the archives' signatures: use a Debian or Ubuntu, or a"
            " container of one, or install the package apt (Fedora has it).",
        )
    return ()


def settings_here(host: Host) -> tuple[str, ...]:
    """Of this computer's apt only how it reaches the net, as lines of apt.conf(5)."""
    told = host.run(read("apt-config", "dump", "--format", "%f %v%n", "Acquire", timeout=30)).stdout
    pairs = (line.partition(" ") for line in told.splitlines())
    wanted = re.compile(r"Acquire::(http|https|ftp)::[A-Za-z0-9:.-]+")
    lines = [f'{k} "{v}";' for k, _, v in pairs if wanted.fullmatch(k) and v and '"' not in v]
    for name, path in (("netrc", "/etc/apt/auth.conf"), ("netrcparts", "/etc/apt/auth.conf.d")):
        lines += [f'Dir::Etc::{name} "{path}";'] if os.access(path, os.R_OK) else []
    return tuple(lines)


@dataclass(frozen=True)
class PrivateApt:
    """`mirrors` maps the beginning of an archive's address to where it is fetched from instead."""

    host: Host
    root: Path
    wanted: Wanted
    mirrors: Mapping[str, str]
    here: tuple[str, ...] = ()

    @property
    def config(self) -> Path:
        return self.root / "apt.conf"

    @property
    def lists(self) -> Path:
        return self.root / "var/lib/apt/lists"

    def lay_out(self) -> None:
        """Write everything that apt reads. `root` is new, or was laid out before."""
        for folder in _FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        apt = self.wanted.apt
        keys: dict[str, str] = {}
        for number, key in enumerate(apt.keys):
            kind = "asc" if key.data.lstrip().startswith(b"-----BEGIN") else "gpg"
            path = self.root / "etc/apt" / ("trusted.gpg.d" if key.trusted else "keys") / f"{number}.{kind}"
            path.write_bytes(key.data)
            keys[key.name] = str(path)
        sources = "\n".join(self._stanza(source, keys) for source in apt.sources)
        (self.root / "etc/apt/sources.list.d/twinboot.sources").write_text(sources)
        own = "\n\n".join(one.text.strip() for one in apt.preferences)
        text = pins(security=self.wanted.kind is PatchKind.SECURITY) + own + "\n"
        (self.root / "etc/apt/preferences").write_text(text)
        (self.root / "var/lib/dpkg/status").write_text(status(self.wanted))
        (self.root / "var/lib/apt/extended_states").write_text(states(self.wanted))
        self.config.write_text("\n".join(self._settings()) + "\n")

    def _settings(self) -> tuple[str, ...]:
        apt = self.wanted.apt
        names = "".join(f'"{arch}"; ' for arch in (apt.architecture, *apt.foreign))
        return (
            f'Dir "{self.root}/";',
            f'Dir::State::status "{self.root}/var/lib/dpkg/status";',
            f'APT::Architecture "{apt.architecture}";',
            f"APT::Architectures {{ {names}}};",
            f'APT::Install-Recommends "{str(apt.recommends).lower()}";',
            *((f'APT::Default-Release "{apt.default_release}";',) if apt.default_release else ()),
            # More than one machine may take from it: phased updates are each machine's own choice.
            'APT::Get::Always-Include-Phased-Updates "true";',
            'APT::Sandbox::User "root";',
            'Acquire::Languages "none";',
            'Acquire::Retries "3";',
            'Acquire::ForceHash "SHA256";',
            'Debug::NoLocking "true";',
            *self.here,
        )

    def _stanza(self, source: Source, keys: Mapping[str, str]) -> str:
        signed = ", ".join(keys.get(word, word) for word in source.signed_by)
        architectures = source.architectures or (self.wanted.apt.architecture, *self.wanted.apt.foreign)
        lines = (
            "Types: deb",
            f"URIs: {self.fetched_from(source)}",
            f"Suites: {source.suite}",
            f"Components: {' '.join(source.components)}" if source.components else "",
            f"Architectures: {' '.join(architectures)}",
            f"Signed-By: {signed}" if signed else "",
            "Trusted: yes" if source.trusted else "",
            "Targets: Packages",
        )
        return "\n".join(line for line in lines if line) + "\n"

    def fetched_from(self, source: Source) -> str:
        """The source's address, or its mirror's."""
        uri = source.uri.rstrip("/")
        fits = [start for start in self.mirrors if (uri + "/").startswith(start.rstrip("/") + "/")]
        if not fits:
            return uri
        longest = max(fits, key=len)
        return self.mirrors[longest].rstrip("/") + uri[len(longest.rstrip("/")) :]

    def _run(self, *argv: str, timeout: float) -> Output:
        env = {name: os.environ[name] for name in _PROXIES if name in os.environ}
        env["APT_CONFIG"] = str(self.config)
        # READ: what it writes lies in a folder of ours.
        command = Command(argv, Effect.READ, frozenset({0, 100}), timeout, env=tuple(env.items()))
        return self.host.run(command)

    def update(self) -> tuple[str, ...]:
        """Read the signed indexes; returns what apt said of those it did not take."""
        out = self._run("apt-get", "-q", "update", timeout=UPDATE)
        text = (out.stdout + "\n" + out.stderr).splitlines()
        return tuple(dict.fromkeys(line[3:].strip() for line in text if line.startswith(("E: ", "W: "))))

    def indexes(self) -> tuple[Index, ...]:
        """Every list of packages that was read and whose signature held."""
        asked = ("indextargets", "--format", _INDEX, "Created-By: Packages")
        rows = self._run("apt-get", *asked, timeout=SOLVE).stdout.splitlines()
        by_place = {(self.fetched_from(s), s.suite): s for s in self.wanted.apt.sources}
        found = []
        for row in rows:
            fields = row.split("|")
            if len(fields) != 5:
                continue
            base, repository, suite, key, file = fields
            source = by_place.get((repository.rstrip("/"), suite))
            ending = key.replace("_", "%5f").replace("/", "_")
            if source is not None and ending in file and Path(file).is_file():
                found.append(Index(source, base, repository, key, file[: file.rindex(ending)]))
        return tuple(found)

    def closure(self) -> tuple[tuple[Deb, ...], tuple[str, ...]]:
        """What the machine's request fetches, by apt's own solver; and sentences where it cannot be done."""
        wanted = self.wanted
        action = ("install", *wanted.packages) if wanted.kind is PatchKind.PACKAGES else UPGRADE
        out = self._run("apt-get", "-y", "-qq", "--print-uris", *action, timeout=SOLVE)
        debs = tuple(
            Deb(m[1], int(m[3]), m[4] if m[4].startswith(("SHA256:", "SHA512:")) else "")
            for line in out.stdout.splitlines()
            if (m := _URI.match(line))
        )
        errors = [line[3:] for line in out.stderr.splitlines() if line.startswith("E: ")]
        return debs, tuple(f"apt cannot do this: {error}" for error in errors if out.status)

    def download(self, uri: str, target: Path, checksum: str, timeout: float) -> str:
        """Fetch one file to `target`, going on where it stopped; what went wrong, empty where nothing did."""
        out = self._run(HELPER, "download-file", uri, str(target), checksum, timeout=timeout)
        if out.status == 0 and target.is_file():
            return ""
        errors = [line[3:] for line in out.stderr.splitlines() if line.startswith("E: ")]
        return " ".join(errors[0].split()) if errors else f"apt-helper ended with status {out.status}"


def status(wanted: Wanted) -> str:
    """The machine's package data base, as much as a solver asks (deb822(5))."""
    paragraphs = []
    for package in wanted.apt.installed:
        lines = [
            f"Package: {package.name}",
            f"Status: {'hold' if package.held else 'install'} ok installed",
            f"Architecture: {package.arch}",
            f"Version: {package.version}",
            *(f"{name}: {value}" for name, value in package.relations.items()),
        ]
        paragraphs.append("\n".join(lines) + "\n")
    return "\n".join(paragraphs)


def states(wanted: Wanted) -> str:
    """What came because another package needs it (/var/lib/apt/extended_states)."""
    return "\n".join(
        f"Package: {p.name}\nArchitecture: {wanted.apt.architecture if p.arch == 'all' else p.arch}\n"
        "Auto-Installed: 1\n"
        for p in wanted.apt.installed
        if p.auto
    )


def parse_mirrors(words: tuple[str, ...]) -> dict[str, str]:
    """FROM=TO of the command line. Raises Refused naming the one that is none."""
    found = {}
    for word in words:
        before, _, after = word.partition("=")
        if not re.match(r"[a-z+]+://\S+\Z", before) or not re.match(r"(https?|ftp)://\S+\Z", after):
            raise Refused((f"--mirror {word}: write http://ARCHIVE=http://MIRROR, both without blanks.",))
        found[before] = after
    return found
