#!/bin/sh
# Freeze and thaw a file system: its journal is emptied into place, so that a boot loader, which replays
# none, reads what Linux reads. A watchdog in a session of its own thaws even where this process is killed
# in between. FAT has no journal and takes no freeze: all that is dirty goes to its place.
# Usage: freeze.sh MOUNT
set -eu
if [ "$(stat --file-system --format=%T "$1")" = msdos ]; then
    exec sync --file-system "$1"
fi
# `setsid` detaches the watchdog from whoever kills our process group.
# shellcheck disable=SC2016 # the inner shell expands it
setsid sh -c 'sleep 30; fsfreeze --unfreeze "$1"' watchdog "$1" </dev/null >/dev/null 2>&1 &
dog=$!
fsfreeze --freeze "$1"
fsfreeze --unfreeze "$1"
kill "$dog" 2>/dev/null || true
