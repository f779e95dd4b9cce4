"""The wheels of the appliance's venv: the locked ones, and our own, built from the checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from appliance.errors import DamagedData
from appliance.host.run import Command, Host, write

# What the appliance runs: Debian 13's Python, and the C libraries that Debian 13 has.
PYTHON = "3.13"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64", "any")
# Of pyproject.toml's dependencies these come as Debian packages, since they bind C libraries.
FROM_DEBIAN = ("libvirt-python", "pyparted")
PACKAGES = ("appliance", "tui")


def _pip(*argv: str) -> Command:
    command = write(sys.executable, "-m", "pip", "--disable-pip-version-check", *argv, timeout=900)
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    return replace(command, env=tuple(passed.items()))


def _download(target: Path, *what: str) -> Command:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    argv = [
        "download",
        "-q",
        "--only-binary=:all:",
        "--python-version",
        PYTHON,
        *platforms,
        "-d",
        str(target),
    ]
    return _pip(*argv, *what)


def fetch_wheels(host: Host, lock: Path, cache: Path) -> Path:
    """A folder with exactly the wheels of `lock`, each checked against its hash."""
    folder = cache / "wheels" / hashlib.sha256(lock.read_bytes()).hexdigest()[:20]
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        host.run(_download(part, "--require-hashes", "--no-deps", "-r", str(lock)))
        part.rename(folder)
    return folder


def locked(lock: str) -> dict[str, str]:
    """Name → version of a lock's text. Raises DamagedData for a requirement without a version or a hash."""
    found: dict[str, str] = {}
    for entry in re.sub(r"\\\n", " ", lock).splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*", entry)
        if match is None:
            raise DamagedData(f"The lock file has an entry without version or hash: {entry.split()[0]}.")
        found[match[1]] = match[2]
    return found


def write_lock(host: Host, requirements: list[str], lock: Path, work: Path) -> None:
    """Resolves `requirements` for the appliance's Python and writes names, versions and hashes to `lock`."""
    host.run(_download(work, *requirements, "pip"))
    rows: list[str] = []
    for wheel in work.glob("*.whl"):
        name, number = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        rows.append(f"{name.replace('_', '-').lower()}=={number} \\\n    --hash=sha256:{digest}\n")
    head = (
        "# Made by `python -m appliance.image lock`: every wheel of the appliance's venv, "
        "for Python 3.13 on x86-64.\n"
        "# pip itself is listed for its hash; it is not installed.\n"
    )
    lock.write_text(head + "".join(sorted(rows)))


def own_wheel(host: Host, checkout: Path, work: Path) -> Path:
    """Our wheel, built in a copy so that the checkout stays clean and no stale build folder gets in."""
    source = work / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        if (checkout / name).exists():
            shutil.copyfile(checkout / name, source / name)
    for name in PACKAGES:
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = work / "wheel"
    host.run(
        _pip("wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(source))
    )
    (wheel,) = out.glob("twinboot-*.whl")
    return wheel
