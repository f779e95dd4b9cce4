"""Which program holds a package manager's lock: fcntl locks, as the kernel lists them in /proc/locks."""

from __future__ import annotations

_LOOK = """
for f in %s; do [ -e "$f" ] && stat -c 'file %%i %%n' "$f"; done
while read -r n kind mode rw pid where rest; do
    [ "$kind" = POSIX ] || continue
    name=; read -r name 2>/dev/null </proc/$pid/comm
    echo "lock ${where##*:} $pid $name"
done </proc/locks
"""


def looking(files: str) -> str:
    """Lines of sh that print what `holders` reads; `files` are words of sh, a substitution included."""
    return _LOOK % files


def holders(text: str) -> list[str]:
    """A sentence for each lock that is held."""
    files: dict[str, str] = {}
    found: list[str] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        parts = rest.split(" ", 2)
        if word == "file" and len(parts) == 2:
            files[parts[0]] = parts[1]
        elif word == "lock" and len(parts) == 3 and parts[0] in files:
            found.append(f"{files[parts[0]]} is held by {parts[2] or 'a program'} (process {parts[1]}).")
    return found
