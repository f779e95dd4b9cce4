"""The line mode: menus and prompts on plain lines, for dumb terminals, screen readers, scripts."""
