"""How many copies run concurrently, and how long many slow copies take in one `pulumi up`.

Measures at the blob service, not in the product: List Blobs shows pending copies, the journal shows when each started
and when the provider noticed that it had finished.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import sleep
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from benchmarks.sandbox import Sandbox

STAGING_CONTAINER = "imagefactory-staging"
POLL_SECONDS = 0.25
OLD_CONCURRENT, OLD_POLL_SECONDS = 20, 45.0
"""The schedule of the PowerShell scripts that this project replaces."""


@dataclass(frozen=True)
class Copies:
    """One `pulumi up` with `copies` copies; times in seconds."""

    copies: int
    copy_seconds: float
    most_in_flight: int
    up_seconds: float
    old_schedule_seconds: float
    speed_up: float
    notice_median_seconds: float
    notice_longest_seconds: float

    def to_json(self) -> dict[str, Any]:
        """The value as JSON data."""
        return asdict(self)


def old_schedule(copies: int, copy_seconds: float) -> float:
    """Return the seconds of the old scripts: 20 copies at a time, the next 20 when a poll finds all finished."""
    return math.ceil(copies / OLD_CONCURRENT) * math.ceil(copy_seconds / OLD_POLL_SECONDS) * OLD_POLL_SECONDS


def run_copies(sandbox: Sandbox, copies: int, labs: int, copy_seconds: float) -> Copies:
    """Run one `pulumi up` with `copies` concurrent copies of `copy_seconds` each, spread over `labs` labs."""
    per_lab = max(1, copies // labs)
    # The emulator sets the duration of these copies, not of copies by ranges.
    by_service = {"method": "service"}
    product, accounts = sandbox.product(sandbox.factory(per_lab), labs, parallel=2 * per_lab * labs, copy=by_service)
    sandbox.cloud.set_latencies({"copySeconds": copy_seconds})
    sandbox.cloud.clear_calls()
    try:
        with _Watch(sandbox, accounts) as watch:
            timing = product.up()
        delays = notice_delays(sandbox.cloud.calls(), copy_seconds)
    finally:
        sandbox.cloud.set_latencies({})
    old = old_schedule(per_lab * labs, copy_seconds)
    return Copies(
        copies=len(delays),
        copy_seconds=copy_seconds,
        most_in_flight=watch.most,
        up_seconds=round(timing.seconds, 1),
        old_schedule_seconds=old,
        speed_up=round(old / timing.seconds, 1),
        notice_median_seconds=round(median(delays), 2),
        notice_longest_seconds=round(max(delays), 2),
    )


def notice_delays(calls: Sequence[dict[str, Any]], copy_seconds: float) -> list[float]:
    """Return the seconds from the end of each copy to the poll that noticed it, the last one, from the journal."""
    started: dict[str, float] = {}
    polled: dict[str, float] = {}
    for call in calls:
        path, _, query = call["path"].partition("?")
        if call["service"] != "blob" or f"/{STAGING_CONTAINER}/" not in path or query:
            continue
        if call["method"] == "PUT" and call["status"] == 202:
            started[path] = call["at"]
        elif call["method"] == "HEAD":
            polled[path] = call["at"]
    return [max(0.0, polled[path] - start - copy_seconds) for path, start in started.items()]


class _Watch:
    """Counts pending copies in the staging containers of `accounts` several times per second; keeps the maximum."""

    def __init__(self, sandbox: Sandbox, accounts: Sequence[str]) -> None:
        self._containers = [
            BlobServiceClient(*sandbox.connection(name)).get_container_client(STAGING_CONTAINER) for name in accounts
        ]
        self.most = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        for container in self._containers:
            container.close()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            pending = 0
            for container in self._containers:
                try:
                    blobs = list(container.list_blobs(include=["copy"]))
                except ResourceNotFoundError:
                    continue
                pending += sum(blob.copy.status == "pending" for blob in blobs)
            self.most = max(self.most, pending)
            sleep(POLL_SECONDS)
