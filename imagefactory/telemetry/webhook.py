"""Posts a message to a webhook. Its URL is a credential, so only its host is ever named.

Tries again what may pass: Slack and Teams limit the rate of messages (429, with Retry-After).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from imagefactory.diagnostics import warning
from imagefactory.loopback import is_protected

ATTEMPTS = 3
TIMEOUT_SECONDS = 10.0
LONGEST_WAIT = 10.0
"""Seconds between two attempts, whatever Retry-After says; without it, 1 and 2."""

_PASSING = frozenset({408, 429})


def post(url: str, body: Mapping[str, object], sleep: Callable[[float], object] = time.sleep) -> str:
    """Post `body` as JSON; return a warning if the message was not taken, otherwise an empty string."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in {"https", "http"} or "@" in parts.netloc:
        return _lost("webhook", "its URL is none", "Set the variable to the URL of the webhook")
    if not is_protected(parts):
        return _lost(f"webhook {host}", "its URL is not encrypted", "Set the variable to an https URL")
    fact = ""
    for attempt in range(ATTEMPTS):
        fact, wait = _try(url, body, 2.0**attempt)
        if not fact:
            return ""
        if wait is None:
            break
        if attempt + 1 < ATTEMPTS:
            sleep(min(wait, LONGEST_WAIT))
    return _lost(f"webhook {host}", fact, "Check its URL, and that its workflow or app still exists")


def _try(url: str, body: Mapping[str, object], wait: float) -> tuple[str, float | None]:
    """Return why it was not taken (empty: it was), and the seconds until another attempt may help (None: it cannot)."""
    import requests

    try:
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        response = requests.post(url, content, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except (requests.ConnectionError, requests.Timeout) as problem:
        return f"cannot be reached ({type(problem).__name__})", wait
    except requests.RequestException as problem:  # its message has the URL
        return f"cannot be reached ({type(problem).__name__})", None
    if 200 <= response.status_code < 300:
        return "", None
    passing = response.status_code in _PASSING or response.status_code >= 500
    after = response.headers.get("Retry-After", "")
    return f"returned {response.status_code}", (float(after) if after.isdecimal() else wait) if passing else None


def _lost(subject: str, fact: str, remedy: str) -> str:
    return warning(subject, fact, "no message is sent, and the result of the run is the same", remedy).message()
