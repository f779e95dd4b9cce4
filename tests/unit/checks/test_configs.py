"""What changed inside configuration files: shown as a diff, and never a secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.checks import configs
from appliance.checks.configs import config_diffs
from appliance.checks.files import changed_files
from appliance.model.verdict import ChangeKind, ConfigDiff, FileChange
from appliance.workflow.steps.verdict import without_secrets


def write(root: Path, path: str, text: str | bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    before, after = tmp_path / "before", tmp_path / "after"
    for root in (before, after):
        write(root, "etc/hosts", "127.0.0.1 localhost\n")
    return before, after


def diffs(roots: tuple[Path, Path], *kept: str) -> dict[str, ConfigDiff]:
    found = config_diffs(*roots, changed_files(*roots, ()), kept, without_secrets)
    return {diff.path: diff for diff in found}


def test_a_changed_a_new_and_a_removed_file_and_those_of_a_new_folder(roots: tuple[Path, Path]) -> None:
    before, after = roots
    write(before, "etc/ssh/sshd_config", "Port 22\nUsePAM yes\n")
    write(after, "etc/ssh/sshd_config", "Port 22\nUsePAM no\n")
    write(before, "etc/old.conf", "x\n")
    write(after, "etc/ledger.d/a/one.conf", "one\n")
    write(after, "usr/bin/tool", "no configuration")
    found = diffs(roots)
    assert set(found) == {"/etc/ssh/sshd_config", "/etc/old.conf", "/etc/ledger.d/a/one.conf"}
    lines = found["/etc/ssh/sshd_config"].text.splitlines()
    assert lines[0] == "--- /etc/ssh/sshd_config before"
    assert lines[3:] == [" Port 22", "-UsePAM yes", "+UsePAM no"]
    assert (found["/etc/old.conf"].act, found["/etc/old.conf"].text.splitlines()[-1]) == ("removed", "-x")
    assert found["/etc/ledger.d/a/one.conf"].text.splitlines()[-1] == "+one"


def test_what_the_site_kept_is_compared_with_the_new_one_beside_it(roots: tuple[Path, Path]) -> None:
    for root in roots:
        write(root, "etc/nginx/nginx.conf", "workers 9;\n")
    write(roots[1], "etc/nginx/nginx.conf.dpkg-dist", "workers auto;\n")
    found = diffs(roots, "/etc/nginx/nginx.conf.dpkg-dist")
    assert set(found) == {"/etc/nginx/nginx.conf"}
    kept = found["/etc/nginx/nginx.conf"]
    assert kept.act == "kept"
    assert kept.text.splitlines()[-2:] == ["-workers 9;", "+workers auto;"]


def test_secrets_are_hidden_before_comparing(roots: tuple[Path, Path]) -> None:
    before, after = roots
    block = "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n"
    write(
        before, "etc/app.conf", "a=1\npassword = hunter2old\nrequirepass rq-old-1\n" + block.format("A" * 64)
    )
    write(
        after, "etc/app.conf", "a=2\npassword = hunter2new\nrequirepass rq-new-1\n" + block.format("B" * 64)
    )
    write(before, "etc/only.conf", "token=abcdef123456\n")
    write(after, "etc/only.conf", "token=zyxwvu654321\n")
    found = diffs(roots)
    text = found["/etc/app.conf"].text
    assert "-a=1" in text and "+a=2" in text
    for secret in ("hunter2", "rq-", "AAAA", "BBBB"):
        assert secret not in text
    assert found["/etc/app.conf"].hidden == 6
    assert (found["/etc/only.conf"].text, found["/etc/only.conf"].note) == ("", "only hidden places differ")


@pytest.mark.parametrize(
    "path",
    ["shadow", "gshadow-", "ssh/ssh_host_rsa_key", "ssl/private/a.pem", "x/tls.key", "postfix/sasl_passwd"],
)
def test_files_of_secrets_are_named_and_never_shown(roots: tuple[Path, Path], path: str) -> None:
    write(roots[0], f"etc/{path}", "root:old\n")
    write(roots[1], f"etc/{path}", "root:new\n")
    found = diffs(roots)[f"/etc/{path}"]
    assert (found.text, found.note) == ("", "not shown: it holds secrets")


def test_what_cannot_be_compared_line_by_line_says_so(roots: tuple[Path, Path]) -> None:
    before, after = roots
    write(after, "etc/blob", b"\0\1\2")
    write(after, "etc/large", "x" * (configs.MOST_BYTES + 1))
    (before / "etc/link").symlink_to("../usr/a")
    (after / "etc/link").symlink_to("../usr/b")
    write(before, "etc/rights", "same")
    write(after, "etc/rights", "same")
    (after / "etc/rights").chmod(0o600)
    found = diffs(roots)
    assert found["/etc/blob"].note == "not shown: not text"
    assert found["/etc/large"].note.startswith("not shown: 128 KiB")
    assert found["/etc/link"].text.splitlines()[-1] == "+link to ../usr/b"
    assert found["/etc/rights"].note == "owner, rights or line ends differ"


def test_made_files_are_left_out_and_a_link_in_the_path_is_not_followed(
    roots: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = roots
    write(after, "etc/ld.so.cache", "x")
    write(after, "etc/ssl/certs/ca.pem", "x")
    assert diffs(roots) == {}
    write(tmp_path, "outside/secret.conf", "of the appliance itself")
    (after / "etc/away").symlink_to(tmp_path / "outside")
    change = FileChange(path="/etc/away/secret.conf", act="added", kind=ChangeKind.UNEXPLAINED)
    (found,) = config_diffs(before, after, [change], (), without_secrets)
    assert (found.text, found.note) == ("", "not shown: a link in its path leads elsewhere")


def test_hostile_lines_are_plain_and_long_diffs_are_cut(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(roots[1], "etc/evil", "".join(f"\x1b[2Jline {n}\u202e\n" for n in range(configs.MOST_LINES + 50)))
    found = diffs(roots)["/etc/evil"]
    assert "\x1b" not in found.text and "\u202e" not in found.text
    assert found.text.count("\n") == configs.MOST_LINES
    assert found.note == "53 more lines left out"
    monkeypatch.setattr(configs, "MOST_FILES", 1)
    write(roots[1], "etc/more", "x\n")
    assert diffs(roots)["/etc/more"].note == "left out: too much has changed"
