"""The copy put together off-line: what is mounted where, what a program in it can reach, what is left."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import CommandFailed, TwinFailed
from appliance.host.run import Command, Effect, Output, RealHost, write
from appliance.twin.offline import NAMESPACES, Offline, opened, opened_at
from tests.unit.twin.machines import recorded

SYSTEM = recorded("thin-uefi").systems[0]


class Desk:
    """Remembers mounts; `refuse` is a word of the mount that fails."""

    def __init__(self, refuse: str = "") -> None:
        self.refuse = refuse
        self.mounts: list[str] = []
        self.ran: list[Command] = []

    def run(self, command: Command) -> Output:
        self.ran.append(command)
        assert command.effect is Effect.WRITE
        if command.argv[0] == "mount":
            if self.refuse and self.refuse in command.argv:
                raise CommandFailed("mount: wrong fs type")
            self.mounts.append(command.argv[-1])
        elif command.argv[0] == "umount":
            assert self.mounts.pop() == command.argv[-1], "what was mounted last goes first"
        return Output(3, "out\n", "err\n")


def twin(folder: Path) -> SimpleNamespace:
    for at in ("boot/efi", "srv", "run", "tmp"):
        (folder / "copy" / at).mkdir(parents=True)
    return SimpleNamespace(
        folder=folder,
        root_device="/dev/mapper/t-root",
        boot_device="/dev/mapper/t-boot",
        esp_device="/dev/mapper/t-esp",
        volume_device=lambda lv: f"/dev/mapper/t-{lv}",
    )


def test_the_copy_is_put_together_as_the_machine_has_it_and_taken_apart(tmp_path: Path) -> None:
    desk = Desk()
    with opened(desk, twin(tmp_path), SYSTEM) as copy:  # type: ignore[arg-type]
        places = [m.removeprefix(str(tmp_path / "copy")) for m in desk.mounts]
        assert places[0] in ("", "/") and places.index("/boot") < places.index("/boot/efi")
        assert set(places[1:]) == {"/boot", "/boot/efi", "/srv", "/run", "/tmp"}
        assert copy.root == tmp_path / "copy"
        options = [c.argv[c.argv.index("-o") + 1] for c in desk.ran]
        assert all("nodev" in o and "nosuid" in o for o in options)
        devices = {c.argv[-2] for c in desk.ran}
        assert devices <= {"/dev/mapper/t-root", "/dev/mapper/t-boot", "/dev/mapper/t-esp",
                           "/dev/mapper/t-srv", "tmpfs"}, "never a volume of the machine itself"  # fmt: skip
    assert desk.mounts == []


def test_a_volume_that_does_not_mount_leaves_nothing_mounted(tmp_path: Path) -> None:
    desk = Desk(refuse="/dev/mapper/t-srv")
    with pytest.raises(CommandFailed), opened(desk, twin(tmp_path), SYSTEM):  # type: ignore[arg-type]
        raise AssertionError("it must not open")
    assert desk.mounts == []


def test_a_symbolic_link_in_the_copy_leads_nowhere(tmp_path: Path) -> None:
    fake, outside = twin(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "copy/srv").rmdir()
    (tmp_path / "copy/srv").symlink_to(outside)
    desk = Desk()
    said = "/srv in the installed system is no folder"
    with pytest.raises(TwinFailed, match=said), opened(desk, fake, SYSTEM):  # type: ignore[arg-type]
        raise AssertionError("it must not open")
    assert desk.mounts == [] and str(outside) not in str(desk.ran)


def test_a_volume_of_ours_gets_its_own_files_for_boot_and_lets_programs_run(tmp_path: Path) -> None:
    for at in ("boot", "run", "tmp", "var/lib/twinboot/boot"):
        (tmp_path / at).mkdir(parents=True)
    desk, files = Desk(), tmp_path / "var/lib/twinboot/boot"
    with opened_at(desk, tmp_path, files) as copy:  # type: ignore[arg-type]
        assert copy.root == tmp_path
        assert [c.argv[1:-1] for c in desk.ran] == [
            ("--bind", str(files)),
            ("-t", "tmpfs", "-o", "nodev,nosuid,mode=755", "tmpfs"),
            ("-t", "tmpfs", "-o", "nodev,nosuid,mode=1777", "tmpfs"),
        ]
        assert copy.remounted == ("nodev,nosuid,exec", str(tmp_path), "--")
    assert desk.mounts == []


def test_a_program_runs_cut_off_and_its_status_is_no_error(tmp_path: Path) -> None:
    desk = Desk()
    out = Offline(desk, tmp_path).exec(("dpkg", "--audit"), stdin=b"x", timeout=7)
    assert (out.status, out.stdout, out.stderr) == (3, b"out\n", b"err\n")
    (command,) = desk.ran
    assert command.argv[: len(NAMESPACES) + 1] == ("unshare", *NAMESPACES)
    assert {"--net", "--pid", "--mount", "--kill-child"} <= set(NAMESPACES)
    assert command.argv[-5:] == (str(tmp_path), "", "--", "dpkg", "--audit")
    assert (command.timeout, command.stdin) == (7, b"x")
    assert ("SYSTEMD_OFFLINE", "1") in command.env


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_unmounted_while_a_program_runs_is_not_kept_up_by_it(tmp_path: Path) -> None:
    """A device whose file system is still up somewhere can be neither deactivated nor read as it will be."""
    host = RealHost()
    mounted, root, image = tmp_path / "mounted", tmp_path / "mounted/root", tmp_path / "image"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    host.run(write("mkfs.ext4", "-q", str(image), timeout=60))
    with contextlib.ExitStack() as stack:

        def do(*argv: str, undo: tuple[str, ...] = ()) -> str:
            out = host.run(write(*argv, timeout=60)).stdout.strip()
            if undo:
                stack.callback(host.run, write(*undo, timeout=60))
            return out

        # As the appliance's root is, under systemd.
        do("mount", "--bind", str(mounted), str(mounted), undo=("umount", str(mounted)))
        do("mount", "--make-shared", str(mounted))
        for at in ("usr", "proc", "sys", "dev", "begun"):
            (root / at).mkdir(parents=True)
        for link in ("bin", "lib", "lib64"):
            (root / link).symlink_to(f"usr/{link}")
        do("mount", "--bind", "/usr", str(root / "usr"), undo=("umount", str(root / "usr")))
        device = do("losetup", "-f", "--show", str(image))
        stack.callback(host.run, write("losetup", "-d", device, timeout=60))
        (volume := mounted / "volume").mkdir()
        do("mount", device, str(volume))
        program = ("sh", "-c", "rmdir /begun; until [ -e /end ]; do sleep 0.1; done")
        running = threading.Thread(target=Offline(host, root).exec, args=(program,), kwargs={"timeout": 60})
        running.start()
        try:
            while (root / "begun").exists():
                time.sleep(0.05)
            up = Path("/sys/fs/ext4") / Path(device).name
            assert up.is_dir()
            do("umount", str(volume))
            assert not up.exists()
        finally:
            (root / "end").touch()
            running.join()
        assert sorted(os.listdir(root / "dev")) == [], "nor is what stood in the program's own /dev left"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_was_opened_and_unmounted_stays_mounted_in_nobody_s_namespace(tmp_path: Path) -> None:
    """With a volume beside it, as of a set; somebody else is a service of the appliance, with mounts of its
    own that follow the appliance's. A file system that is still up there could not be deactivated."""
    host, shared = RealHost(), tmp_path / "shared"
    root = shared / "root"
    root.mkdir(parents=True)
    with contextlib.ExitStack() as stack:

        def do(*argv: str) -> None:
            host.run(write(*argv, timeout=60))

        do("mount", "--bind", str(shared), str(shared))
        stack.callback(do, "umount", str(shared))
        do("mount", "--make-shared", str(shared))
        sleep = ("unshare", "--mount", "--propagation", "slave", "sleep", "120")
        other = stack.enter_context(subprocess.Popen(sleep))
        stack.callback(other.kill)
        own = os.readlink("/proc/self/ns/mnt")
        while os.readlink(f"/proc/{other.pid}/ns/mnt") == own:
            time.sleep(0.05)
        do("mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", str(root))
        for at in ("usr", "var", "proc", "sys", "dev", "run", "tmp"):
            (root / at).mkdir()
        for link in ("bin", "lib", "lib64"):
            (root / link).symlink_to(f"usr/{link}")
        do("mount", "--bind", "/usr", str(root / "usr"))
        do("mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", str(root / "var"))
        (root / "var/program").write_text("#!/bin/sh\necho ran; : >/var/written\n")
        (root / "var/program").chmod(0o755)
        with opened_at(host, root) as copy:
            assert copy.exec(("/var/program",), timeout=60).stdout == b"ran\n"
        assert (root / "var/written").is_file()
        with opened_at(host, root, readonly=True) as copy:
            assert copy.exec(("/var/program",), timeout=60).status != 0, "it may run, and write nothing"
        for at in ("var", "usr", ""):
            do("umount", str(root / at))
        left = Path(f"/proc/{other.pid}/mountinfo").read_text()
        assert str(root) not in left
        other.kill()
