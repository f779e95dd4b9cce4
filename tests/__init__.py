"""Tests of Twinboot; importable from the checkout root."""
