"""Encrypted devices: headers, crypttab, and a machine whose volume group lies in one, locked and unlocked."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from appliance.errors import DamagedData, WrongPassphrase
from appliance.host.passphrases import Passphrases
from appliance.host.run import Command, Effect
from appliance.model.codec import to_json
from appliance.model.machine import LayerKind, Locked, Machine, Storage, Tpm
from appliance.model.pcr import registers
from appliance.probe import hardware
from appliance.probe.beneath import lift, prove
from appliance.probe.crypttab import parse_crypttab
from appliance.probe.fstab import Known
from appliance.probe.ground import Ground
from appliance.probe.luks import Header, modules_of, open_readonly, parse_dump
from appliance.probe.machine import probe
from appliance.probe.obstacles import console_of, of_encryption, of_layers
from appliance.probe.packages import read_packages
from appliance.probe.tpm import parse_tokens
from tests.unit.probe.recorded import RecordedMachine
from tests.unit.probe.test_machine import BOOT, ROOT, play
from tests.unit.probe.test_raid import ARRAY, on_mirror

SAID = Path(__file__).parents[2] / "fixtures/recorded/luks"
UUID = "6c1b7f52-0d8e-4b39-9a64-f7e2c3d5a810"
OPEN = f"/dev/mapper/twinboot-below-luks-{UUID}"
SECRET = b"correct horse"
PV = "TYPE=LVM2_member\nUUID=Od8IOI-Ko9Y-ubU9-97lc-SPBo-8a6O-5czoKm\n"


def said(name: str) -> str:
    return recorded(f"{name}.txt")


def recorded(name: str) -> str:
    return (SAID / name).read_text()


def clevis(pin: dict[str, Any]) -> dict[str, Any]:
    """A token of clevis-luks-bind(1): the head of a JWE, without the padding."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "dir", "clevis": pin}).encode()).decode()
    return {"type": "clevis", "jwe": {"protected": head.rstrip("=")}}


def test_headers() -> None:
    assert parse_dump(said("luks2")) == Header(
        uuid=UUID, version=2, cipher="aes-xts-plain64", offset=16 << 20, sector=512, plain=True
    )
    assert parse_dump(said("luks1")) == Header(
        uuid="e793eb1e-eb39-4b4a-8ad7-3f1bf265811a", version=1, cipher="aes-xts-plain64", offset=2 << 20
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("luks2", ()), ("luks2-tpm2", ("the TPM",)), ("luks2-clevis", ("Clevis (a TPM or a server)",))],
)
def test_what_opens_it_by_itself(name: str, words: tuple[str, ...]) -> None:
    assert parse_dump(said(name)).opened_by == words


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Version:", "Fashion:", "Version"),
        (UUID, "6c1b7f52", "UUID"),
        ("offset: 16777216", "offset: many", "offset"),
        ("sector: 512", "sector: 99999999999999999999", "sector"),
    ],
)
def test_a_header_that_does_not_read_is_an_error_that_names_the_field(old: str, new: str, named: str) -> None:
    with pytest.raises(DamagedData, match=named):
        parse_dump(said("luks2").replace(old, new))


def test_crypttab() -> None:
    lines = parse_crypttab(
        "# comment\n\n"
        f"vda4_crypt UUID={UUID} none luks,discard\n"
        f"two /dev/disk/by-uuid/{UUID.upper()} - \n"
        'three PARTUUID=1-2 "" luks\n'
        "four /dev/vda5 /etc/keys/four luks\n"
        "five /dev/vda6 - tpm2-device=auto\n"
        "six /dev/vda7 none luks,keyscript=decrypt_derived\n"
        "seven /dev/vda8\n"
        "eight\n"
    )
    assert [line.name for line in lines] == ["vda4_crypt", "two", "three", "four", "five", "six", "seven"]
    assert [line.means(UUID, frozenset({"/dev/vda5"})) for line in lines[:4]] == [True, True, False, True]
    assert [line.opened_by for line in lines[:3]] == [(), (), ('the key file ""',)]
    assert lines[3].opened_by == ("the key file /etc/keys/four",)
    assert [line.opened_by for line in lines[4:]] == [(), ("a program (keyscript)",), ()]


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The recorded machine with its volume group inside an encrypted fourth partition."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play("thin-bios", tmp_path)
    report = json.loads(machine.outputs["lsblk"])
    disk = next(d for d in report["blockdevices"] if d["name"] == "vda")
    disk["children"][3] |= {"fstype": "crypto_LUKS", "uuid": UUID}
    machine.answers["lsblk"] = json.dumps(report)
    machine.answers["lvm fullreport"] = machine.outputs["lvm fullreport"].replace("/dev/vda4", OPEN)
    inside(machine)
    return machine


def inside(machine: RecordedMachine) -> None:
    machine.answers["cryptsetup luksDump"] = said("luks2")
    machine.answers["cryptsetup open"] = ""
    machine.answers[f"blkid {OPEN}"] = f"DEVNAME={OPEN}\n{PV}"
    crypttab(machine, f"vda4_crypt UUID={UUID} none luks,discard\n")


def crypttab(machine: RecordedMachine, text: str) -> None:
    (machine.trees / f"twinboot-probe-{ROOT}/etc/crypttab").write_text(text)


def unlocked(machine: RecordedMachine, passphrase: bytes = SECRET) -> Machine:
    passphrases = Passphrases()
    passphrases.keep(UUID, passphrase)
    found = probe(machine, machine.root, passphrases)
    assert machine.left() == []
    return found


def refused(machine: Machine) -> list[str]:
    return [t.code for t in (*machine.trouble, *(t for s in machine.systems for t in s.trouble)) if t.refuses]


def test_locked_it_is_named_and_nothing_inside_is_read(encrypted: RecordedMachine) -> None:
    machine = probe(encrypted, encrypted.root)
    assert machine.locked == (Locked(path="/dev/vda4", uuid=UUID, name="/dev/vda4"),)
    assert (machine.systems, machine.layers, refused(machine)) == ((), (), ["luks"])
    assert not any("cryptsetup open" in line for line in encrypted.ran)


def test_unlocked_the_system_is_seen_and_can_be_rehearsed(encrypted: RecordedMachine) -> None:
    machine = unlocked(encrypted)
    (system,) = machine.systems
    assert (system.hostname, machine.locked) == ("ledger", ())
    (group,) = machine.volume_groups
    assert (
        machine.places_of(group) == {OPEN, "/dev/vda4"} and machine.encrypted_under(group) == machine.layers
    )
    assert machine.disks_under(group) == machine.disks and machine.taken == {OPEN, "/dev/vda4"}
    (layer,) = machine.layers
    assert (layer.kind, layer.path, layer.below) == (LayerKind.LUKS, OPEN, ("/dev/vda4",))
    assert layer.offset + layer.size == 5768216576
    assert layer.cipher == "aes-xts-plain64"
    assert refused(machine) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "cipher: aes-xts-plain64",
            "cipher: xchacha12,aes-adiantum-plain64",
            "by xchacha12,aes-adiantum-plain64",
        ),
        (
            "\tsector: 512 [bytes]",
            "\tsector: 512 [bytes]\n\tintegrity: hmac(sha256)",
            "other than plain LUKS 2",
        ),
        (
            "Flags:       \t(no flags)",
            "Flags:       \t(no flags)\nRequirements:\tonline-reencrypt-v2",
            "other than",
        ),
        ("  0: crypt\n\toffset", "  1: linear\n  0: crypt\n\toffset", "in a way other than plain LUKS 2"),
    ],
)
def test_what_no_twin_can_be_in_form_is_refused(
    encrypted: RecordedMachine, old: str, new: str, words: str
) -> None:
    assert old in said("luks2")
    encrypted.answers["cryptsetup luksDump"] = said("luks2").replace(old, new, 1)
    machine = unlocked(encrypted)
    assert refused(machine) == ["luks-kind"]
    assert words in machine.systems[0].trouble[0].sentence


def test_what_lies_in_it_without_lvm_is_refused(encrypted: RecordedMachine) -> None:
    (layer,) = unlocked(encrypted).layers
    root = Known(path=OPEN, names=frozenset(), size=1, fstype="ext4", fsuuid="", label="", shown="")
    ground = cast(Ground, SimpleNamespace(under=lambda known: (layer,), array=lambda known: ""))
    (why,) = of_layers(ground, (root,), None)
    assert why.refuses and why.sentence == (
        "A volume of the system lies on LUKS (/dev/vda4): that can not be rehearsed (yet)."
    )
    assert of_layers(ground, (root,), root) == [why], "nor may /boot"
    assert of_layers(ground, (replace(root, vg="vg0"),), None) == []


def test_a_root_inside_that_is_kept_in_another_way_is_refused(encrypted: RecordedMachine) -> None:
    machine = unlocked(encrypted)
    (system,), (layer,) = machine.systems, machine.layers
    known = Known(path="/dev/mapper/vg0-root", vg="vg0", lv="root")
    ground = cast(Ground, SimpleNamespace(under=lambda known: (layer,)))
    for storage in (Storage.LVM_THIN, Storage.LVM_THICK):
        kept = replace(system, root=replace(system.root, storage=storage))
        assert of_encryption(ground, kept, (known,)) == []
    other = replace(system, root=replace(system.root, storage=Storage.BTRFS))
    (why,) = of_encryption(ground, other, (known,))
    assert why.refuses and "is kept as btrfs inside LUKS: only LVM thick or LVM thin can" in why.sentence


def test_luks_1_is_refused(encrypted: RecordedMachine) -> None:
    encrypted.answers["cryptsetup luksDump"] = said("luks1").replace(
        "e793eb1e-eb39-4b4a-8ad7-3f1bf265811a", UUID
    )
    assert refused(unlocked(encrypted)) == ["luks-kind"]


@pytest.mark.parametrize(
    ("line", "console"),
    [
        ("root=/dev/x ro console=tty0 console=ttyS0,115200 quiet", "ttyS0"),
        ("root=/dev/x ro console=ttyS0 console=tty0", "tty0"),
        ("root=/dev/x ro quiet", "tty0"),
    ],
)
def test_where_a_system_asks(line: str, console: str) -> None:
    assert console_of(line) == console


@pytest.mark.parametrize(
    ("said", "codes"),
    [
        ("", []),
        (" console=tty1", []),
        (" console=ttyS1,115200", ["luks-console"]),
        (" console=hvc0", ["luks-console"]),
    ],
)
def test_where_a_twin_can_be_told_the_passphrase(
    encrypted: RecordedMachine, said: str, codes: list[str]
) -> None:
    grub = encrypted.trees / f"twinboot-probe-{BOOT}/grub/grub.cfg"
    grub.write_text(grub.read_text().replace(" console=ttyS0,115200", said))
    machine = unlocked(encrypted)
    assert refused(machine) == codes
    if codes:
        assert f"on {said.split('=')[1].split(',')[0]};" in machine.systems[0].trouble[0].sentence


@pytest.mark.parametrize(
    ("cipher", "modules"),
    [
        ("aes-xts-plain64", ("dm_crypt", "aes_generic", "xts")),
        ("serpent-cbc-essiv:sha256", ("dm_crypt", "serpent_generic", "cbc", "essiv")),
        ("cipher_null-ecb", ()),
        ("aes-xts-plain64 and more", ()),
        ("", ()),
    ],
)
def test_what_decrypts(cipher: str, modules: tuple[str, ...]) -> None:
    assert modules_of(cipher) == modules


def test_what_a_run_needs_is_brought_up_for_writing_once(encrypted: RecordedMachine) -> None:
    passphrases = Passphrases()
    passphrases.keep(UUID, SECRET)
    machine = probe(encrypted, encrypted.root, passphrases)
    encrypted.ran.clear()
    lift(encrypted, machine, passphrases)
    (opened,) = (line for line in encrypted.ran if line.startswith("cryptsetup"))
    name = OPEN.rpartition("/")[2]
    assert opened == f"cryptsetup open --type luks --key-file - --disable-keyring /dev/vda4 {name}"
    encrypted.ran.clear()
    lift(encrypted, machine, passphrases)
    assert encrypted.left() == [name]
    assert not any(line.startswith("cryptsetup") for line in encrypted.ran)


def test_its_packages_are_read_through_what_is_up(encrypted: RecordedMachine) -> None:
    passphrases = Passphrases()
    passphrases.keep(UUID, SECRET)
    machine = probe(encrypted, encrypted.root, passphrases)
    lift(encrypted, machine, passphrases)
    found = read_packages(encrypted, machine, machine.systems[0], encrypted.root)
    assert any(package.name == "dpkg" for package in found.packages)
    assert encrypted.left() == [OPEN.rpartition("/")[2]]


def test_of_one_that_was_left_up_the_passphrase_is_tried(encrypted: RecordedMachine) -> None:
    one = Locked(path="/dev/vda4", uuid=UUID, name="/dev/vda4")
    prove(encrypted, one, b"wrong")
    assert not any(line.startswith("cryptsetup") for line in encrypted.ran), "opening it will tell"
    encrypted.up(OPEN.rpartition("/")[2], readonly=False)
    prove(encrypted, one, SECRET)
    with pytest.raises(WrongPassphrase, match="does not open /dev/vda4"):
        prove(encrypted, one, b"wrong")
    assert all("--test-passphrase" in line for line in encrypted.ran if line.startswith("cryptsetup"))


def test_it_is_opened_read_only_and_the_passphrase_is_in_nothing_that_is_said(
    encrypted: RecordedMachine,
) -> None:
    machine = unlocked(encrypted)
    (opened,) = (line for line in encrypted.ran if line.startswith("cryptsetup open"))
    assert opened == (
        "cryptsetup open --type luks --key-file - --readonly --disable-keyring /dev/vda4 "
        f"{OPEN.rpartition('/')[2]}"
    )
    everything = "\n".join(encrypted.ran).encode() + to_json(machine)
    assert SECRET not in everything


def test_nothing_holds_a_passphrase_where_it_could_be_printed() -> None:
    passphrases = Passphrases()
    passphrases.keep(UUID, SECRET)
    command = Command(("cryptsetup",), Effect.READ, stdin=SECRET)
    for words in (repr(passphrases), str(passphrases), repr(command), str(command)):
        assert SECRET.decode() not in words
    with pytest.raises(TypeError, match="not written out"):
        pickle.dumps(passphrases)


def test_one_that_opens_no_more_is_forgotten(encrypted: RecordedMachine) -> None:
    passphrases = Passphrases()
    passphrases.keep(UUID, b"of yesterday")
    machine = probe(encrypted, encrypted.root, passphrases)
    assert encrypted.left() == []
    assert [one.uuid for one in machine.locked] == [UUID]
    assert passphrases.of(UUID) is None


def test_a_passphrase_is_taken_to_the_byte(encrypted: RecordedMachine) -> None:
    for wrong in (b"wrong", b"correct horse\n", b"Correct horse"):
        with pytest.raises(WrongPassphrase, match="does not open /dev/vda4"):
            open_readonly(encrypted, "/dev/vda4", "twinboot-below-luks-1", wrong)
    assert encrypted.left() == []


def test_one_that_can_not_be_shown_stays_locked_and_says_so(encrypted: RecordedMachine) -> None:
    encrypted.fails.add("cryptsetup open")
    machine = unlocked(encrypted)
    assert [one.uuid for one in machine.locked] == [UUID]
    assert [t.code for t in machine.trouble] == ["luks", "luks"]


def test_a_damaged_header_is_named(encrypted: RecordedMachine) -> None:
    encrypted.fails.add("cryptsetup luksDump")
    machine = unlocked(encrypted)
    assert (machine.locked, refused(machine)) == ((), ["luks-unread"])


@pytest.mark.parametrize(
    ("token", "tpm"),
    [("luks2-tpm2", Tpm(pcrs=(4, 7, 9), signed=(11,))), ("luks2-clevis", Tpm(pcrs=(7, 8)))],
)
def test_a_device_that_the_tpm_opens_is_rehearsed_and_what_binds_it_is_said(
    encrypted: RecordedMachine, token: str, tpm: Tpm
) -> None:
    encrypted.answers["cryptsetup luksDump --dump-json-metadata"] = recorded(f"{token}.json")
    encrypted.answers["cryptsetup luksDump"] = said(token)
    machine = unlocked(encrypted)
    assert (refused(machine), machine.layers[0].tpm) == ([], tpm)
    (told,) = machine.trouble
    assert told.code == "luks-tpm"
    assert told.sentence.startswith(
        f"/dev/vda4 is unlocked by the TPM ({registers((*tpm.pcrs, *tpm.signed))}) when the machine starts:"
    )


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"tokens": {"0": {"type": "clevis", "jwe": 1}}}'])
def test_a_token_that_does_not_read_refuses(encrypted: RecordedMachine, text: str) -> None:
    encrypted.answers["cryptsetup luksDump --dump-json-metadata"] = text
    encrypted.answers["cryptsetup luksDump"] = said("luks2-clevis")
    machine = unlocked(encrypted)
    assert refused(machine) == ["luks-key"]
    assert machine.trouble[0].sentence.startswith("/dev/vda4 is unlocked by ")


@pytest.mark.parametrize(
    ("tokens", "tpm"),
    [
        ([], None),
        ([{"type": "systemd-recovery"}], None),
        ([{"type": "systemd-tpm2", "tpm2-pcrs": [7]}, {"type": "systemd-recovery"}], Tpm(pcrs=(7,))),
        ([{"type": "systemd-tpm2", "tpm2-pcrs": []}], Tpm()),
        ([{"type": "systemd-tpm2", "tpm2-pcrs": [n]} for n in (7, 1)], Tpm(pcrs=(1, 7))),
        ([{"type": "systemd-tpm2", "tpm2-pcrs": [7]}, {"type": "systemd-fido2"}], None),
        ([clevis({"pin": "tpm2", "tpm2": {"pcr_ids": "0,7"}})], Tpm(pcrs=(0, 7))),
        ([clevis({"pin": "tpm2", "tpm2": {}})], Tpm()),
        ([clevis({"pin": "tang", "tang": {}})], None),
        ([clevis({"pin": "sss", "sss": {}})], None),
    ],
)  # fmt: skip
def test_what_of_the_tpm_opens_it(tokens: list[dict[str, Any]], tpm: Tpm | None) -> None:
    text = json.dumps({"tokens": {str(number): token for number, token in enumerate(tokens)}})
    assert parse_tokens(text) == tpm


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"vda4_crypt UUID={UUID} /etc/keys/root luks\n", "luks-key"),
        (f"vda4_crypt UUID={UUID} none fido2-device=auto\n", "luks-key"),
        ("vda4_crypt /dev/vda4 none keyscript=/lib/x\n", "luks-key"),
        ("other UUID=1 none luks\n", "crypttab"),
        ("", "crypttab"),
    ],
)
def test_what_crypttab_says_of_the_roots_own_device(encrypted: RecordedMachine, line: str, code: str) -> None:
    crypttab(encrypted, line)
    assert refused(unlocked(encrypted)) == [code]


def test_beside_another_system_a_locked_device_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    machine = play("thin-bios", tmp_path)
    report = json.loads(machine.outputs["lsblk"])
    disk = next(d for d in report["blockdevices"] if d["name"] == "vda")
    disk["children"][0] |= {"fstype": "crypto_LUKS"}
    machine.answers |= {"lsblk": json.dumps(report), "cryptsetup luksDump": said("luks1")}
    found = probe(machine, machine.root)
    assert (refused(found), [t.code for t in found.trouble]) == ([], ["luks"])


def test_luks_on_a_mirror_is_opened_through_one_leg(encrypted: RecordedMachine) -> None:
    del encrypted.answers["lsblk"]
    on_mirror(encrypted)
    encrypted.answers[f"blkid {ARRAY}"] = f"DEVNAME={ARRAY}\nTYPE=crypto_LUKS\nUUID={UUID}\n"
    encrypted.answers["lvm fullreport"] = encrypted.outputs["lvm fullreport"].replace("/dev/vda4", OPEN)
    machine = unlocked(encrypted)
    assert [(layer.kind, layer.below) for layer in machine.layers] == [
        (LayerKind.RAID1, ("/dev/vda4", "/dev/vdb1")),
        (LayerKind.LUKS, (ARRAY,)),
    ]
    assert [t.sentence for t in machine.systems[0].trouble if t.refuses] == [
        "The system lies on LUKS (ledger:0), MD RAID 1 (ledger:0): only one array, with nothing else beneath "
        "the volume group, can be rehearsed (yet).",
    ]
