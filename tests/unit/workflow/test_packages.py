"""The part of what is installed that is told: by urgency, by name, never too much."""

from __future__ import annotations

from appliance.model.codec import to_json
from appliance.model.service_messages import MOST_PACKAGES, PackageRow
from appliance.probe.packages import Package, PackageTable
from appliance.workflow.packages import listing, sizes

TABLE = PackageTable(
    (
        Package("acl", "2.3", 10),
        Package("bash", "5.2-2", 20, newer="5.2-3"),
        Package("grub-pc", "2.06-13", 30, newer="2.06-14", security=True),
        Package("openssl", "3.0.11", 40, newer="3.0.15", security=True),
        Package("zsh", "5.9", 50, held=True),
    ),
    lists_at=5.0,
    unread=1,
)


def test_what_is_urgent_comes_first_and_the_loader_not_at_all() -> None:
    found = listing(TABLE, "")
    assert found.rows == (
        PackageRow(name="openssl", version="3.0.11", newer="3.0.15", security=True),
        PackageRow(name="bash", version="5.2-2", newer="5.2-3"),
        PackageRow(name="acl", version="2.3"),
        PackageRow(name="zsh", version="5.9", held=True),
    )
    assert (found.found, found.installed, found.newer, found.security) == (4, 5, 2, 1)
    assert (found.lists_at, found.unread) == (5.0, 1)


def test_every_word_must_be_in_the_name() -> None:
    assert [row.name for row in listing(TABLE, "S").rows] == ["openssl", "bash", "zsh"]
    assert [row.name for row in listing(TABLE, "s h").rows] == ["bash", "zsh"]
    assert listing(TABLE, "nobody").rows == ()


def test_thousands_of_packages_are_one_small_answer() -> None:
    many = PackageTable(
        tuple(Package(f"package-with-a-long-name-{n:05}", "1.2.3-4+deb12u5", 1) for n in range(9000))
    )
    found = listing(many, "")
    assert (len(found.rows), found.found) == (MOST_PACKAGES, 9000)
    assert len(to_json(found)) < 32_000


def test_sizes_go_by_the_names_a_request_has() -> None:
    assert sizes(TABLE)["bash"] == 20
