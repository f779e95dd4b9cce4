"""Limits that a person is told of beforehand, in seconds. A machine that boots slowly gets more."""

DEADLINE = 600
"""What the trial has on the metal before it is given back, whatever hangs."""

MKCONFIG = 900
"""What the new system's grub-mkconfig may take of it in addition: os-prober looks at every disk."""

SLOWER = 6
"""A machine that takes long to boot gets this many times its patched boot for either."""


def deadline(boot: float) -> int:
    """The trial's, of a system whose patched boot took `boot` seconds."""
    return max(DEADLINE, int(SLOWER * boot))


def mkconfig(boot: float) -> int:
    """grub-mkconfig's, likewise."""
    return max(MKCONFIG, int(SLOWER * boot))
