"""Packages and repositories for the patching tests: the lab's ledger, and small ones made for one purpose."""

from __future__ import annotations

from pathlib import Path

from tests.lab import ledger
from tests.lab.kernels import build_deb
from tests.lab.repository import Pool, describe, make_key

CONTROL = """Package: {name}
Version: {version}
Architecture: all
Section: misc
Priority: optional
Installed-Size: 12
Maintainer: Twinboot tests <test@localhost>
Description: a package of the tests
"""


def make_pool(folder: Path) -> Pool:
    """Every ledger, a package that looks like a boot loader's, and one with a configuration file."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    made = [
        ledger.build(version, folder / "scratch", pool) for version in ("1.0", "1.1", "1.2", "1.3", "1.4")
    ]
    for version in ("1.0", "1.1"):
        made.append(small("grub-lab", version, folder, pool))
        made.append(small("configured", version, folder, pool, conffile=f"setting = {version}\n"))
    for deb in made:
        describe(deb)
    make_key(pool)
    return Pool(pool)


def small(name: str, version: str, scratch: Path, pool: Path, conffile: str = "") -> Path:
    folder = scratch / "scratch" / f"{name}-{version}"
    (folder / "DEBIAN").mkdir(parents=True)
    (folder / "DEBIAN/control").write_text(CONTROL.format(name=name, version=version))
    (folder / f"usr/share/{name}").mkdir(parents=True)
    (folder / f"usr/share/{name}/version").write_text(version + "\n")
    if conffile:
        (folder / "etc").mkdir()
        (folder / f"etc/{name}.conf").write_text(conffile)
        (folder / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    return build_deb(folder, pool)


def offer(pool: Pool, served: Path, *debs: Path, host: str = "10.0.2.100", path: str = "lab") -> Path:
    """Publish `debs` as http://HOST/PATH, the address of the lab's source entry."""
    return pool.publish(served / host / path, debs)


def offer_security(pool: Pool, served: Path, *debs: Path) -> Path:
    """Publish `debs` as a security archive: the suite's name ends with -security."""
    target = pool.publish(served / "sec.example" / "lab", debs, signed=False)
    suite = (target / "dists" / pool.suite).rename(target / "dists" / f"{pool.suite}-security")
    text = (suite / "Release").read_text().replace(f": {pool.suite}", f": {pool.suite}-security")
    (suite / "Release").write_text(text)
    pool._sign(suite / "Release")
    return target
