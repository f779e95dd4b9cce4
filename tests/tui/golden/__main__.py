"""`python -m tests.tui.golden renew [STORY …]`: take all pictures again, or those of the stories named.

`python -m tests.tui.golden list` names the stories.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from tests.tui.golden.stage import FOLDER, pictures
from tests.tui.golden.stories import STORIES


async def renew(names: Sequence[str]) -> int:
    """Write what changed, delete what no story shows any more; says each file."""
    FOLDER.mkdir(exist_ok=True)
    known: set[str] = set()
    for told in STORIES:
        if names and told.name not in names:
            continue
        taken = await pictures(told)
        known |= set(taken)
        for name, picture in taken.items():
            path = FOLDER / name
            if not path.is_file() or path.read_text() != picture:
                path.write_text(picture)
                print("written", name)
    for path in FOLDER.glob("*.svg"):
        if not names and path.name not in known:
            path.unlink()
            print("deleted", path.name)
    print(len(list(FOLDER.glob("*.svg"))), "pictures")
    return 0


def main() -> int:
    match sys.argv[1:]:
        case ["list"]:
            print("\n".join(told.name for told in STORIES))
            return 0
        case ["renew", *names]:
            return asyncio.run(renew(names))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
