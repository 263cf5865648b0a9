"""The same images for the same labs, delivered as custom images and by a Compute Gallery: requests and time.

Both run in turn, without checkpoints. Copies, images and replication take no time: what is left is that of engine,
program, provider and emulators. On Azure, replication takes minutes to hours.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from benchmarks.sandbox import Project, Sandbox, Timing

Way = Literal["customImage", "gallery"]


@dataclass(frozen=True)
class Delivery:
    """Medians of one way: seconds of the first `pulumi up` and of the next preview, and the requests of the first."""

    way: Way
    labs: int
    image_paths: int
    resources: int
    first_up_seconds: float
    second_preview_seconds: float
    resource_manager_requests: int
    storage_requests: int
    ratio_first_up: float
    """To custom images."""
    ratio_second_preview: float

    def to_json(self) -> dict[str, Any]:
        """The value as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class _Round:
    up: Timing
    preview: Timing
    requests: dict[str, int]


def compare_deliveries(
    sandbox: Sandbox, labs: int, image_paths: int, rounds: int, parallel: int, say: Callable[[str], None]
) -> list[Delivery]:
    """Deliver an image of each of `image_paths` golden images to `labs` new labs, both ways in turn, `rounds` times."""
    factory = sandbox.factory(image_paths)
    found: dict[Way, list[_Round]] = {"customImage": [], "gallery": []}
    for number in range(rounds):
        for way, done in found.items():
            say(f"{labs} labs, {image_paths} image paths, {way}, round {number + 1} of {rounds}")
            gallery = {"name": f"bench{uuid.uuid4().hex}", "resourceGroup": "bench"}
            settings = {"delivery": way, **({"gallery": gallery} if way == "gallery" else {})}
            project, _ = sandbox.product(factory, labs, parallel, **settings)
            done.append(_run(sandbox, project))
    return [_medians(way, labs, image_paths, done, found["customImage"]) for way, done in found.items()]


def _run(sandbox: Sandbox, project: Project) -> _Round:
    without = project.without_checkpoints()
    sandbox.cloud.clear_calls()
    up = without.up()
    calls = [call["service"] for call in sandbox.cloud.calls()]
    return _Round(up, without.preview(), {service: calls.count(service) for service in ("arm", "blob")})


def _medians(way: Way, labs: int, image_paths: int, done: list[_Round], base: list[_Round]) -> Delivery:
    return Delivery(
        way=way,
        labs=labs,
        image_paths=image_paths,
        resources=done[0].up.resources,
        first_up_seconds=round(_seconds(done, "up"), 1),
        second_preview_seconds=round(_seconds(done, "preview"), 1),
        resource_manager_requests=done[0].requests["arm"],
        storage_requests=done[0].requests["blob"],
        ratio_first_up=round(_seconds(done, "up") / _seconds(base, "up"), 3),
        ratio_second_preview=round(_seconds(done, "preview") / _seconds(base, "preview"), 3),
    )


def _seconds(done: list[_Round], step: Literal["up", "preview"]) -> float:
    return median(float(getattr(each, step).seconds) for each in done)
