"""`python -m tests.lab build|boot|record|demo|bench|cells`: the laboratory from the command line."""

from __future__ import annotations

import argparse
import os
import select
import sys
import tempfile
import termios
import time
import tty
from pathlib import Path

from tests.e2e import cells
from tests.lab.bench import bench
from tests.lab.circle import go_round, machine_to_drive
from tests.lab.firmware import BIOS, UEFI
from tests.lab.hardware import BUSES, Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.native import LabError, stage
from tests.lab.record import record

DETACH = b"\x1d"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="build installed systems into the cache and print where they are")
    build.add_argument("firmware", nargs="*", choices=(BIOS, UEFI), default=(BIOS, UEFI))
    boot = verbs.add_parser("boot", help="boot a machine with an installed system and prove what it booted")
    boot.add_argument("--firmware", choices=(BIOS, UEFI), default=BIOS)
    boot.add_argument("--bus", choices=BUSES, default="virtio")
    boot.add_argument("--accel", choices=("auto", "tcg", "kvm"), default="auto")
    boot.add_argument("--memory", type=int, default=4096, help="MiB")
    boot.add_argument("--image", type=Path, help="raw image to plug in as the first stick")
    boot.add_argument("--pxe", type=Path, help="folder to boot from by network (boot.ipxe)")
    boot.add_argument("--ledger", help="version of ledger the lab's repository offers")
    boot.add_argument("--kernel", action="store_true", help="the repository offers a kernel update, too")
    boot.add_argument("--interactive", action="store_true", help="join the serial line to this terminal")
    keep = verbs.add_parser("record", help="record a booted system's answers into tests/fixtures/recorded")
    keep.add_argument("--firmware", choices=(BIOS, UEFI), default=BIOS)
    keep.add_argument("--bus", choices=BUSES, default="virtio")
    demo = verbs.add_parser("demo", help="a machine goes once round; on a terminal: the console on it")
    demo.add_argument("--firmware", choices=(BIOS, UEFI), default=BIOS)
    demo.add_argument("--bus", choices=BUSES, default="virtio")
    demo.add_argument("--unattended", action="store_true", help="even on a terminal")
    verbs.add_parser("bench", help="times and sizes beside a rival's, in one run")
    seen = verbs.add_parser("cells", help="which machines went the full circle, and when")
    seen.add_argument("--keep", action="store_true", help="put this computer's stamps beside the code first")
    arguments = parser.parse_args()
    work = {
        "build": _build,
        "boot": _boot,
        "record": _record,
        "demo": _demo,
        "bench": _bench,
        "cells": _cells,
    }
    try:
        work[arguments.verb](arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _demo(arguments: argparse.Namespace) -> None:
    """Without a terminal one whole round, unattended; with one the console, joined to this terminal."""
    if not arguments.unattended and sys.stdin.isatty() and sys.stdout.isatty():
        system = installed_system(SystemSpec(arguments.firmware))
        with tempfile.TemporaryDirectory(prefix="twinboot-demo-", dir="/var/tmp") as folder:
            machine = machine_to_drive(system, Path(folder), arguments.bus)
            with machine:
                machine.power_on()
                _join(machine)
        return
    with tempfile.TemporaryDirectory(prefix="twinboot-demo-", dir="/var/tmp") as folder:
        hardware = Hardware(firmware=arguments.firmware, bus=arguments.bus)
        came = go_round(Path(folder), hardware)
    print(came.report)
    print("The metal, asked after the trial:")
    print(f"  root {came.proof.root}, kernel {came.proof.kernel}, ledger {came.proof.ledger}")
    print(f"  ledger answers: {came.proof.ledger_answer}")


def _build(arguments: argparse.Namespace) -> None:
    for firmware in arguments.firmware:
        print(installed_system(SystemSpec(firmware)).disk)


def _boot(arguments: argparse.Namespace) -> None:
    system = installed_system(SystemSpec(arguments.firmware))
    hardware = Hardware(
        firmware=arguments.firmware,
        bus=arguments.bus,
        memory=arguments.memory,
        acceleration=arguments.accel,
    )
    with Machine.with_system(system, hardware) as machine:
        if arguments.ledger or arguments.kernel:
            kernels = (system.offers.update,) if arguments.kernel else ()
            debs = system.offers.select(arguments.ledger, *kernels)
            machine.site.folders["lab"] = system.offers.pool.publish(machine.folder / "lab", debs)
        if arguments.image:
            machine.insert_stick(arguments.image)
        if arguments.pxe:
            machine.net_boot(arguments.pxe)
        machine.power_on()
        if arguments.interactive:
            _join(machine)
        else:
            with stage("boot to login"):
                machine.shell()
            print(machine.proof_of_boot())
            machine.power_off()


def _record(arguments: argparse.Namespace) -> None:
    system = installed_system(SystemSpec(arguments.firmware))
    hardware = Hardware(firmware=arguments.firmware, bus=arguments.bus)
    with Machine.with_system(system, hardware) as machine:
        machine.power_on()
        print(record(machine, f"{arguments.firmware}-{arguments.bus}"))
        machine.power_off()


def _bench(_: argparse.Namespace) -> None:
    bench()


def _cells(arguments: argparse.Namespace) -> None:
    if arguments.keep:
        cells.keep()
    print(cells.table())


def _join(machine: Machine) -> None:
    """Join this terminal to the machine's serial line until it switches off or Ctrl-] is pressed."""
    print("lab: this is the machine's serial line; Ctrl-] pulls the plug.\r", file=sys.stderr)
    shown, saved = 0, termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        while machine.running:
            text = machine.console.text
            sys.stdout.write(text[shown:])
            sys.stdout.flush()
            shown = len(text)
            if select.select([sys.stdin], [], [], 0.05)[0]:
                keys = os.read(sys.stdin.fileno(), 1024)
                if DETACH in keys:
                    return
                machine.console.send(keys.decode(errors="replace"))
            else:
                time.sleep(0.02)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
        print()


if __name__ == "__main__":
    sys.exit(main())
