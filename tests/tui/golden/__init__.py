"""Golden screens: every screen in its states as SVG; `python -m tests.tui.golden renew` makes them again."""
