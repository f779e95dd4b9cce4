"""Limits that a person is told of beforehand."""

DEADLINE = 600
"""Seconds the trial has on the metal before it is given back, whatever hangs; a slow machine gets more."""
