"""The environment of rpm's package managers in the twin: they ask nothing, and speak what is parsed."""

from __future__ import annotations

from appliance.patching.job import FOLDER

CACHE = f"{FOLDER}/cache"
"""Lists of a bundle: the system's own stay as they are."""

ENVIRONMENT = (
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("TERM", "dumb"),
    ("LC_ALL", "C.UTF-8"),  # what is parsed must not be translated
    ("PYTHONUNBUFFERED", "1"),  # dnf's lines when they are said, and its errors not in the middle of them
)


def environment(proxy: str, *more: tuple[str, str]) -> tuple[str, ...]:
    """argv prefix that sets the whole environment (an agent's own env may replace PATH)."""
    return ("env", "-i", *(f"{key}={value}" for key, value in (*ENVIRONMENT, *proxies(proxy), *more)))


def proxies(proxy: str) -> tuple[tuple[str, str], ...]:
    """`proxy` ("http://host:port") for both kinds of address, for what looks into the environment."""
    return tuple((name, proxy) for name in ("http_proxy", "https_proxy") if proxy)
