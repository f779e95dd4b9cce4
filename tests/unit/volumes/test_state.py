"""The state volume as two threads of one engine bring it up."""

from __future__ import annotations

import threading
from pathlib import Path

from appliance.host.run import Command, Output
from appliance.volumes.state import StateVolume


class OneDisk:
    """As on a machine: while e2fsck or mount has the device, another e2fsck is refused (e2fsck(8), 8)."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.in_use = threading.Lock()
        self.mounted = threading.Event()
        self.both = threading.Barrier(2)

    def run(self, command: Command) -> Output:
        match command.argv[0]:
            case "findmnt":
                return Output(0, "/dev/mapper/vg0-twinboot--state\n" if self.mounted.is_set() else "", "")
            case "e2fsck":
                assert self.in_use.acquire(blocking=False), "a second e2fsck of the same device"
            case "mount":
                assert not self.mounted.wait(0.2)
                self.in_use.release()
                self.mounted.set()
        self.ran.append(command.argv[0])
        return Output(0, "", "")


def test_two_threads_at_once_bring_it_up_once(tmp_path: Path) -> None:
    host, failed = OneDisk(), list[BaseException]()

    def bring_up() -> None:
        host.both.wait(10)
        try:
            StateVolume(host, "vg0", ()).mount(tmp_path)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=bring_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failed == []
    assert host.ran == ["lvchange", "e2fsck", "mount"]
