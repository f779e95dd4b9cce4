"""The collector's lines as Facts: recorded ones, broken ones, hostile ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.checks.facts import MAX_BYTES, parse
from appliance.checks.health import FILE, script
from appliance.errors import DamagedData

RECORDED = Path(__file__).with_name("recorded")
WHOLE = (
    b"schema\t1\ntarget\tmulti-user.target\nreached\tyes\t31250000\nsettled\tyes\nkernel\t6.1.0-49-amd64\n"
)


def facts(*lines: str) -> bytes:
    return WHOLE + "".join(line + "\n" for line in lines).encode() + b"end\n"


def test_every_kind_of_line() -> None:
    found = parse(
        facts(
            "cmdline\troot=/dev/mapper/vg0-root ro",
            "virt\tkvm",
            "uptime\t45",
            "failed\tfoo.mount\tfailed",
            "failed\tbad.service\tauto-restart",
            "service\tnginx.service\trunning",
            "restarts\tnginx.service\t3",
            "on-demand\tpolkit.service",
            "seldom\tldconfig.service",
            "starting\tslow.service\tstart",
            "quiet\tcron.service\twanted",
            "quiet\tatd.service\tidle",
            "socket\ttcp:80\t0.0.0.0\tnginx",
            "root\t/dev/mapper/vg0-root",
            "mount\t/srv\text4\t/dev/mapper/vg0-srv",
            "free\t/\t1048576",
            "gateway\t192.0.2.1\teth0",
            "kerr\tEXT4-fs error: bad",
            "kerr\tEXT4-fs error: bad",
            "package\tlibc6:amd64\t2.36\tii ",
            "package\tledger\t1.4\tiF ",
            "package\tgone\t1\trc ",
            "package\tx:amd64\t1\tii ",
            "package\tx:i386\t1\tii ",
            "site\trequired\trequired.d/a.sh\t1",
            "site-output\trequired.d/a.sh\tfirst\twith a tab",
            "site-output\trequired.d/a.sh\tsecond",
        )
    )
    assert found.boot_seconds == 31.25
    assert found.failed_units == ("bad.service", "foo.mount")
    assert found.restarts == (("nginx.service", 3),)
    assert found.quiet_units == ("cron.service",), "what nobody wanted to start was not kept quiet"
    assert found.sockets == ("tcp:80 0.0.0.0 nginx",)
    assert found.disk_free == (("/", 1 << 30),)
    assert found.kernel_errors == ("EXT4-fs error: bad",)
    assert found.half_configured == ("ledger iF",)
    assert dict(found.packages) == {"libc6": "2.36", "ledger": "1.4", "x:amd64": "1", "x:i386": "1"}
    assert found.site_checks[0].output == "first with a tab\nsecond"
    assert (found.gateways, found.on_demand, found.seldom, found.starting) == (
        ("192.0.2.1",),
        ("polkit.service",),
        ("ldconfig.service",),
        ("slow.service",),
    )


def test_a_target_that_was_not_reached_counts_the_uptime() -> None:
    raw = facts("uptime\t300").replace(b"reached\tyes\t31250000", b"reached\tno\t0")
    found = parse(raw)
    assert not found.target_reached and found.boot_seconds == 300


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "cut short"),
        (WHOLE, "cut short"),
        (facts().replace(b"schema\t1", b"schema\t2"), "version '2'"),
        (facts().replace(b"kernel\t6.1.0-49-amd64", b"kernel\t"), "no kernel"),
        (facts().replace(b"target\tmulti-user.target\n", b""), "no target"),
        (b"x" * (MAX_BYTES + 1), "too long"),
        (b"\n" * 300_000, "too long"),
    ],
)
def test_what_is_cut_short_or_foreign_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(DamagedData, match=words):
        parse(raw)


def test_hostile_words_are_made_plain() -> None:
    found = parse(facts("failed\t\x1b[2Jevil\x07.service\tfailed", "free\t/\t99999999999999999999999"))
    assert found.failed_units == ("evil.service",)
    assert found.disk_free == (("/", 0),)


LINE = st.lists(st.text(max_size=20), max_size=6).map("\t".join)
KEYS = st.sampled_from(
    (
        "service",
        "socket",
        "mount",
        "free",
        "package",
        "site",
        "site-output",
        "kerr",
        "quiet",
        "restarts",
        "reached",
    )
)


@given(st.lists(st.tuples(KEYS, LINE), max_size=20), st.binary(max_size=200))
def test_no_lines_of_a_guest_make_anything_but_facts_or_damaged_data(
    lines: list[tuple[str, str]], noise: bytes
) -> None:
    text = "".join(f"{key}\t{line}\n" for key, line in lines).encode(errors="replace")
    for raw in (WHOLE + text + noise + b"\nend\n", noise):
        try:
            found = parse(raw)
        except DamagedData:
            continue
        assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_health_sh_is_clean_posix_sh() -> None:
    subprocess.run(("shellcheck", "-s", "sh", str(FILE)), check=True)
    assert subprocess.run(("dash", "-n", str(FILE)), check=False).returncode == 0


def test_the_collector_runs_here_and_is_parsed(tmp_path: Path) -> None:
    """On any Linux, systemd or not: every line it prints is one the parser knows."""
    out = subprocess.run(
        ("dash", str(FILE), "facts", "--limit", "0", "--grace", "0"), capture_output=True, check=True
    ).stdout
    keys = {line.split(b"\t")[0].decode() for line in out.splitlines()}
    assert {
        "schema",
        "target",
        "reached",
        "kernel",
        "cmdline",
        "uptime",
        "virt",
        "root",
        "free",
        "end",
    } <= keys
    if b"\ntarget\t\n" in out:  # no systemd runs on this machine
        out = out.replace(b"\ntarget\t\n", b"\ntarget\tnone.target\n")
    found = parse(out)
    assert found.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert dict(found.disk_free)["/"] > 0


def test_further_verbs_go_before_the_dispatch(tmp_path: Path) -> None:
    whole = tmp_path / "whole.sh"
    whole.write_bytes(script('verb_greet() {\n    echo "hello $1"\n}\n'))
    said = subprocess.run(("dash", str(whole), "greet", "metal"), capture_output=True, check=True)
    assert said.stdout == b"hello metal\n"
    for argv in ((), ("no-verb",), ("",), ("x;y",)):
        assert subprocess.run(("dash", str(whole), *argv), capture_output=True, check=False).returncode == 64


def test_site_checks_are_run_bounded_and_told(tmp_path: Path) -> None:
    checks = tmp_path / "checks"
    checks.mkdir()
    for name, text in (
        ("ok.sh", "#!/bin/sh\necho fine\n"),
        ("bad.sh", "#!/bin/sh\nprintf 'no\\ttab\\n'; exit 3\n"),
        ("hang.sh", "#!/bin/sh\nsleep 60\n"),
        ("daemon.sh", "#!/bin/sh\nsleep 60 &\n"),
        ("odd name", "#!/bin/sh\n"),
    ):
        (checks / name).write_text(text)
        (checks / name).chmod(0o755)
    (checks / "notes.txt").write_text("not executable")
    copy = tmp_path / "health.sh"
    text = (
        FILE.read_text().replace("LIMIT=60 ", "LIMIT=2 ").replace("/run/twinboot/health", str(tmp_path / "w"))
    )
    copy.write_text(text)
    argv = ("dash", str(copy), "facts", "--limit", "0", "--grace", "0", "--site", str(checks))
    out = subprocess.run(argv, capture_output=True, check=True, timeout=50).stdout.decode()
    assert "site\trequired\tstick/ok.sh\t0\nsite-output\tstick/ok.sh\tfine\n" in out
    assert "site\trequired\tstick/bad.sh\t3" in out
    assert "site\trequired\tstick/hang.sh\t124" in out
    assert "site\trequired\tstick/daemon.sh\t0" in out
    assert "(a name that cannot be used)\t126" in out
    assert "notes.txt" not in out


SYSTEMCTL = """#!/bin/sh
case "$*" in
*list-units*) printf '%s\\n' \\
    'ldconfig.service loaded active exited Rebuild Dynamic Linker Cache' \\
    'nginx.service loaded active running A web server' \\
    'networking.service loaded active exited Raise network interfaces' ;;
"show -p FragmentPath ldconfig.service networking.service")
    printf 'FragmentPath=%s\\n\\n' FOLDER/ldconfig.service FOLDER/networking.service ;;
esac
"""


def test_what_starts_only_after_an_update_is_told_by_its_unit_file(tmp_path: Path) -> None:
    """The condition is that of Debian 13's ldconfig.service."""
    unit = "[Unit]\nConditionNeedsUpdate=|/etc\nConditionFileNotEmpty=|!/etc/ld.so.cache\n"
    (tmp_path / "ldconfig.service").write_text(unit)
    (tmp_path / "networking.service").write_text("[Unit]\n# no ConditionNeedsUpdate= here\n")
    (tmp_path / "systemctl").write_text(SYSTEMCTL.replace("FOLDER", str(tmp_path)))
    (tmp_path / "systemctl").chmod(0o755)
    copy = tmp_path / "health.sh"
    copy.write_text(FILE.read_text().replace("PATH=/usr", f"PATH={tmp_path}:/usr", 1))
    argv = ("dash", str(copy), "facts", "--limit", "0", "--grace", "0")
    out = subprocess.run(argv, capture_output=True, check=True, timeout=50).stdout.decode()
    assert [line for line in out.splitlines() if line.startswith("seldom")] == ["seldom\tldconfig.service"]


def test_the_recorded_boot_of_the_lab_machine() -> None:
    """Recorded on a lab machine so busy that lvm2-monitor gave up; everything else came up."""
    found = parse((RECORDED / "lab-debian12.facts").read_bytes())
    assert found.target_reached and found.settled
    assert {"ledger.service", "nginx.service", "ssh.service"} <= set(found.active_services)
    assert "tcp:8377 0.0.0.0 ledger" in found.sockets and "tcp:22 * sshd" in found.sockets
    assert found.root == "/dev/mapper/vg0-root" and found.virtualisation == "qemu"
    assert {m.split(" ")[0] for m in found.mounts} == {"/", "/boot", "/boot/efi", "/srv"}
    assert found.half_configured == ()
    assert found.failed_units == ("lvm2-monitor.service",)
    assert found.on_demand == ("dm-event.service",)
    assert found.boot_seconds == 255.070674
    assert dict(found.packages)["ledger"] == "1.0" and len(found.packages) > 200
