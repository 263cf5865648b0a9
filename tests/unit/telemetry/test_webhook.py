"""A message reaches the webhook, or is a warning that names its host and never its URL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from imagefactory.telemetry.webhook import ATTEMPTS, LONGEST_WAIT, post

Answer = tuple[int, dict[str, str]]


@dataclass
class Webhook:
    """What it was sent; `answers` are its next answers, then 202."""

    url: str
    answers: list[Answer]
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def webhook(*answers: Answer) -> Iterator[Webhook]:
    """A webhook with a secret in its path and query."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers = hook.answers.pop(0) if hook.answers else (202, {})
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/topsecret?sig=topsecret", list(answers))
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_what_passes_is_tried_again_after_the_time_that_the_service_names() -> None:
    """Up to a limit; the message arrives once it is taken."""
    waits: list[float] = []
    with webhook((429, {"Retry-After": "7"}), (503, {"Retry-After": "3600"})) as hook:
        assert post(hook.url, {"text": "a"}, waits.append) == ""
    assert waits == [7, LONGEST_WAIT] and hook.bodies == [{"text": "a"}] * 3


@pytest.mark.parametrize(("status", "times"), [(500, ATTEMPTS), (429, ATTEMPTS), (400, 1), (404, 1), (302, 1)])
def test_what_is_not_taken_is_a_warning_without_the_url(status: int, times: int) -> None:
    """An error of the message or the URL is not tried again, and a redirect is not followed."""
    waits: list[float] = []
    answer = (status, {"Location": "https://elsewhere.example/"})
    with webhook(*[answer] * 9) as hook:
        warning = post(hook.url, {}, waits.append)
    assert len(hook.bodies) == times and len(waits) == times - 1
    assert warning.startswith(f"webhook 127.0.0.1: returned {status}; no message is sent")
    assert "topsecret" not in warning and "\n" not in warning


def test_a_webhook_that_cannot_be_reached_is_a_warning_without_the_url() -> None:
    """After the same attempts."""
    with webhook() as hook:
        url = hook.url
    waits: list[float] = []
    warning = post(url, {}, waits.append)
    assert "cannot be reached" in warning and "topsecret" not in warning and len(waits) == ATTEMPTS - 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/topsecret",
        "$(topsecret)",
        "",
        "ftp://hooks.example/topsecret",
        "https://user:topsecret@hooks.example/",
        "https://[topsecret",
        "https://hooks.example:topsecret/",
    ],
)
def test_nothing_is_sent_without_tls_or_to_what_is_no_url(url: str) -> None:
    """Only this machine needs no TLS."""
    warning = post(url, {}, print)
    assert "its URL is" in warning and "no message is sent" in warning and "topsecret" not in warning
