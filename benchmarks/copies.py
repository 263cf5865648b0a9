"""How many copies are in flight at one moment, and how long many slow copies take in one `up`.

The blob service is asked, not the product: List Blobs tells pending copies, the journal when each began and when the
provider saw its end.
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

from benchmarks.stage import Stage

STAGING_CONTAINER = "imagefactory-staging"
LOOK_SECONDS = 0.25
OLD_AT_ONCE, OLD_POLL_SECONDS = 20, 45.0
"""The schedule of the scripts that this project replaces."""


@dataclass(frozen=True)
class Copies:
    """What one `up` of `copies` copies did; times in seconds."""

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
    """Seconds that the old scripts need: 20 at a time, the next 20 at the first poll that finds them all ended."""
    return math.ceil(copies / OLD_AT_ONCE) * math.ceil(copy_seconds / OLD_POLL_SECONDS) * OLD_POLL_SECONDS


def run_copies(stage: Stage, copies: int, labs: int, copy_seconds: float) -> Copies:
    """One `up` that makes `copies` copies of `copy_seconds` each, spread over `labs` labs, all allowed at once."""
    per_lab = max(1, copies // labs)
    # Copies by ranges are `ranges`; these are the storage service's own, which take the time that they are told.
    by_service = {"method": "service"}
    product, accounts = stage.product(stage.factory(per_lab), labs, parallel=2 * per_lab * labs, copy=by_service)
    stage.cloud.set_latencies({"copySeconds": copy_seconds})
    stage.cloud.clear_calls()
    try:
        with _Watch(stage, accounts) as watch:
            timing = product.up()
        delays = notice_delays(stage.cloud.calls(), copy_seconds)
    finally:
        stage.cloud.set_latencies({})
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
    """Seconds between the end of each copy and the look that found it ended, the last one, from the journal."""
    began: dict[str, float] = {}
    looked: dict[str, float] = {}
    for call in calls:
        path, _, query = call["path"].partition("?")
        if call["service"] != "blob" or f"/{STAGING_CONTAINER}/" not in path or query:
            continue
        if call["method"] == "PUT" and call["status"] == 202:
            began[path] = call["at"]
        elif call["method"] == "HEAD":
            looked[path] = call["at"]
    return [max(0.0, looked[path] - start - copy_seconds) for path, start in began.items()]


class _Watch:
    """Counts pending copies in the staging containers of `accounts`, several times a second, and keeps the most."""

    def __init__(self, stage: Stage, accounts: Sequence[str]) -> None:
        known = {each["name"]: each for each in stage.cloud.status()["storageAccounts"]}
        self._containers = [
            BlobServiceClient(
                known[name]["blobEndpoint"], {"account_name": name, "account_key": known[name]["key"]}
            ).get_container_client(STAGING_CONTAINER)
            for name in accounts
        ]
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for container in self._containers:
            container.close()

    def _look(self) -> None:
        while not self._ended.is_set():
            pending = 0
            for container in self._containers:
                try:
                    blobs = list(container.list_blobs(include=["copy"]))
                except ResourceNotFoundError:
                    continue
                pending += sum(blob.copy.status == "pending" for blob in blobs)
            self.most = max(self.most, pending)
            sleep(LOOK_SECONDS)
