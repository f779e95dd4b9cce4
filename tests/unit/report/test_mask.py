"""Planted secrets: none may come out, in text, JSON or JSON lines; ordinary words stay."""

from __future__ import annotations

import json
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.report.mask import MASK, Masks, mask, mask_json, mask_lines, mask_tree

FORMS = (
    "password={}",
    "Password: {}",
    'the passphrase is "{} with blanks"',
    "DB_PASSWORD='{}'",
    "node.session.auth.password = {}",
    "discovery.sendtargets.auth.password_in = {}",
    "curl -u admin:{} https://repo.example/",
    "wget --password={} https://repo.example/",
    "mysql -uroot -p{} shop",
    "sshpass -p {} ssh host",
    "deb https://user:{}@repo.example/debian bookworm main",
    "http_proxy=http://:{}@proxy:3128",
    "https://{}0123456789abcdef@git.example/x.git",
    "Authorization: Basic {}",
    "X-Api-Key: {}",
    "Bearer {}",
    "rd.luks.key=/dev/disk/by-id/{} quiet",
    "luks-key: {}",
    "api_key = {}",
    "aws_secret_access_key = {}",
    "token: {}",
    'WIFI_PSK="{}"',
    "root:$y$j9T${}/abc$0123456789:19000:0:99999:7:::",
    "bob:$6${}$abcdefghijk:19000:0:99999:7:::",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n(cut off here)",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{}\n-----END PGP PRIVATE KEY BLOCK-----",
    "eyJhbGciOiJI.{}eyJzdWIi.c2lnbmF0dXJl",
    "ghp_{}0123456789",
)


def secrets(count: int) -> list[tuple[str, str]]:
    """(secret, line that holds it), repeatable."""
    chance = random.Random(20261122)
    found = []
    for number in range(count):
        secret = "".join(chance.choices(string.ascii_letters + string.digits, k=16))
        found.append((secret, FORMS[number % len(FORMS)].format(secret)))
    return found


def test_five_hundred_canaries_in_text() -> None:
    planted = secrets(500)
    for secret, line in planted:
        masks = Masks()
        clean = mask(f"before {line} after\nnext line\n", masks)
        assert secret not in clean, line
        assert MASK in clean and masks.places >= 1
        assert clean.startswith("before ")


def test_five_hundred_canaries_in_one_text_and_in_json() -> None:
    planted = secrets(500)
    text = "\n".join(line + "\n" for _, line in planted if "cut off" not in line)
    tree = {"lines": [{"text": line, "level": "info"} for _, line in planted], "password": planted[0][0]}
    lines = (
        "\n".join(json.dumps({"event": "line", "text": line}) for _, line in planted)
        + "\nnot json password=x\n"
    )
    masks = Masks()
    out = (
        mask(text, masks)
        + json.dumps(json.loads(mask_json(json.dumps(tree).encode(), masks)))
        + mask_lines(lines.encode(), masks).decode()
    )
    assert [secret for secret, _ in planted if secret in out] == []
    assert masks.places >= 1400
    assert len(mask_lines(lines.encode(), Masks()).splitlines()) == 501


def test_masking_twice_is_masking_once() -> None:
    for _, line in secrets(len(FORMS)):
        once = mask(line, Masks())
        assert mask(once, Masks()) == once, line


@pytest.mark.parametrize(
    "text",
    [
        "BOOT_IMAGE=/vmlinuz-6.1.0-49-amd64 root=/dev/mapper/vg0-root ro quiet",
        "libpam-password-manager 1.0 -> 1.1",
        "ssh://git@github.example/x",
        "http://deb.debian.org/debian bookworm/main",
        "Setting up passwd (1:4.13+dfsg1-1) ...",
        "systemd-ask-password-console.path",
        "sha256 3f9a0c07e1b2",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    masks = Masks()
    assert mask(text, masks) == text and masks.places == 0


@given(st.text(max_size=300))
def test_any_text_can_be_masked_and_stays_json(text: str) -> None:
    tree = {"a": [text, {"token": text}], "b": 1}
    clean = mask_tree(tree, Masks())
    assert json.loads(json.dumps(clean)) == clean


@pytest.mark.parametrize(
    "piece", ["a", "password", "a.b-", "://", "eyJ", "0f", "mysql ", "-p", "$6$", ":", "x="]
)
def test_long_lines_do_not_take_for_ever(piece: str) -> None:
    started = time.monotonic()
    mask(piece * (200_000 // len(piece)), Masks())
    assert time.monotonic() - started < 10
