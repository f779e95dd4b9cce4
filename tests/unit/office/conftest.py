"""An office with real apt, an archive on a local address, and lists of machines written by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.host.run import RealHost
from appliance.model.plan import PatchKind
from appliance.model.wanted import SCHEMA, AptSetup, InstalledPackage, Key, Source, Wanted
from appliance.office.make import BundleMade, make
from tests.lab.repository import Pool, WebServer, describe, make_key
from tests.unit.patching.offers import small


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    if missing := [p for p in ("apt-get", "gpg", "dpkg-deb") if shutil.which(p) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("pool")
    for name in ("ledger", "till", "grub-lab"):
        for version in ("1.1", "1.2"):
            describe(small(name, version, folder, folder))
    make_key(folder)
    return Pool(folder)


@dataclass
class Office:
    """`served` is the folder behind the archive's address; `said` and `told` are what a person sees."""

    pool: Pool
    served: Path
    server: WebServer
    bundle: Path
    said: list[str] = field(default_factory=list)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/lab"

    def offer(self, *debs: tuple[str, str], signed: bool = True) -> Path:
        """What the archive has from now on."""
        shutil.rmtree(self.served, ignore_errors=True)
        return self.pool.publish(self.served, [self.pool.deb(*d) for d in debs], signed=signed)

    def wants(self, identity: str = "SN-1", **changes: object) -> Wanted:
        """A machine with ledger, till and a loader at 1.0 and this archive as its only source."""
        installed = tuple(
            InstalledPackage(name=n, arch="all", version="1.0") for n in ("ledger", "till", "grub-lab")
        )
        source = Source(file="x", uri=self.uri, suite="bookworm", components=("main",), signed_by=("k",))
        apt: dict[str, object] = {
            "architecture": "amd64",
            "codename": "bookworm",
            "installed": installed,
            "sources": (source,),
            "keys": (Key(name="k", data=self.pool.public_key.read_bytes()),),
        }
        kind = changes.pop("kind", PatchKind.ALL)
        packages = changes.pop("packages", ())
        return Wanted(
            schema=SCHEMA,
            identity=identity,
            system="/dev/vg/root",
            hostname=identity.lower(),
            os_name="Debian",
            written_at=1,
            kind=kind,  # type: ignore[arg-type]
            packages=packages,  # type: ignore[arg-type]
            apt=AptSetup(**(apt | changes)),  # type: ignore[arg-type]
        )

    def make(self, *lists: Wanted) -> BundleMade:
        return make(RealHost(), lists, self.bundle, {}, self.said.append, self._tell)

    def _tell(self, path: str, done: int, total: int) -> None:
        self.told.append((path, done, total))

    def debs(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.bundle.rglob("*.deb")}

    def fetched(self) -> list[str]:
        """The packages asked for since the last call, in order."""
        names = [r.rpartition("/")[2] for r in self.server.requests if r.endswith(".deb")]
        self.server.requests.clear()
        return names


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Iterator[Office]:
    served = tmp_path / "served"
    with WebServer({"lab": served}) as server:
        yield Office(pool, served, server, tmp_path / "june")
