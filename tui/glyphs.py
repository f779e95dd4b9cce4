"""The glyphs of the console font: all that a screen of the kernel's own can show.

The font is drawn from the list in elements/twinboot-font/font/glyphs; a test holds the two together.
"""

from __future__ import annotations

ASCII = "".join(map(chr, range(0x20, 0x7F)))
LATIN_1 = "".join(map(chr, range(0xA0, 0x100)))
LINES = "─┄╌│┆╎┌╭┐╮└╰┘╯├┤┬┴┼═║╔╗╚╝╠╣╦╩╬━┃┏┓┗┛┣┫┳┻╋"
BLOCKS = "█▀▄▐▌▁▂▃▅▆▇░▒▓"
MARKS = "←↑→↓▲▶►▸▼◀◄◂✓✔✗✘"
PUNCTUATION = "\u2002\u2003\u2009\u202f‚‛′‐‑‒−–—―‘’“”‟•●∙…€\ufffd"
FONT = frozenset(ASCII + LATIN_1 + LINES + BLOCKS + MARKS + PUNCTUATION)
