"""Whether an initrd's mdadm.conf brings the machine's array up."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot.arrays import why_not_assembled
from appliance.boot.initrd import initrd_files, initrd_names
from appliance.host.run import RealHost
from tests.unit.boot.test_artifacts import archive, zstd

UUID = "5f1e0c2b:94a37d68:c1b2e3f4:0a1b2c3d"
DEBIAN = f"""# mdadm.conf
#
# !NB! Run update-initramfs -u after updating this file.
HOMEHOST <system>
MAILADDR root
ARRAY /dev/md/0  metadata=1.2 UUID={UUID} name=ledger:0
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEBIAN, ""),
        ("", ""),
        ("HOMEHOST <system>\n# ARRAY /dev/md/0 UUID=00000000:0:0:0\n", ""),
        (DEBIAN.replace("UUID=", "uuid=").replace(":", "-"), ""),
        (f"ARRAY /dev/md/0\n   metadata=1.2 # ours\n   UUID={UUID}\n", ""),
        (f"AUTO -all\nARRAY /dev/md/0 UUID={UUID}\n", ""),
        ("AUTO +imsm +1.x -all\n", ""),
        ("AUTO -all\n", "brings up no array that it does not name (AUTO -all)"),
        ("auto +imsm -1.x +all\n", "brings up no array that it does not name (AUTO -1.x)"),
        ("ARRAY /dev/md/7 UUID=00000000:00000000:00000000:00000007\n", "names other arrays than ledger:0"),
        (f"ARRAY <ignore> UUID={UUID}\n", "is told to ignore the array ledger:0"),
    ],
)
def test_what_it_says_of_the_array(text: str, said: str) -> None:
    found = why_not_assembled(text, UUID, "ledger:0")
    assert said in found and bool(said) is bool(found)


def test_a_file_is_read_out_of_an_initrd_however_it_is_packed(tmp_path: Path) -> None:
    name = "etc/mdadm/mdadm.conf"
    early = archive(tmp_path / "early", ["kernel/x86/microcode/GenuineIntel.bin"])
    file = tmp_path / "initrd"
    file.write_bytes(early + zstd(archive(tmp_path / "main", ["usr/sbin/mdadm", name, "usr/sbin/lvm"])))
    assert initrd_files(RealHost(), file, frozenset({name, "etc/none"})) == {name: name.encode() * 7}
    assert {name, "usr/sbin/mdadm", "usr/sbin/lvm"} <= set(initrd_names(RealHost(), file))
