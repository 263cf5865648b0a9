"""Copies at scale by simulation: the product, the older scripts and AzCopy under the limits that Azure publishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.copies import OLD_CONCURRENT, OLD_POLL_SECONDS
from benchmarks.simulated_limits import GIB, Limits, small_regions
from benchmarks.simulation import Strategy, World, lower_bound, simulate
from imagefactory.copying.fan_out import READERS

VHD_BYTES = 127 * GIB
ALLOCATED_BYTES = 15 * GIB
AZCOPY_BYTES = 308 / 204
"""What AzCopy 10.32 moved of a disk with 204 MiB in 203 pieces (docs/development/performance.md)."""

IMAGE_SECONDS = 300.0
"""The time of a custom image, once its VHD is staged (assumed)."""

PIPELINE, MANY = 64, 256
"""`--parallel` of the pipelines, and for many labs."""

PRODUCT = Strategy("fan-out, one reader per VHD", "anywhere", MANY, READERS, "product")

STRATEGIES = (
    Strategy(
        "older scripts: 20 whole VHDs at a time",
        "factory",
        OLD_CONCURRENT,
        poll_seconds=OLD_POLL_SECONDS,
        whole_bytes=VHD_BYTES,
    ),
    Strategy(
        "older scripts, if only allocated bytes are copied", "factory", OLD_CONCURRENT, poll_seconds=OLD_POLL_SECONDS
    ),
    Strategy("AzCopy per VHD, 20 at a time", "factory", OLD_CONCURRENT, bytes_factor=AZCOPY_BYTES),
    Strategy("direct", "factory", PIPELINE),
    Strategy("direct", "factory", MANY),
    Strategy("one relay per region", "relay", PIPELINE),
    Strategy("one relay per region", "relay", MANY),
    Strategy("fan-out, any number of readers", "anywhere", MANY),
    Strategy("fan-out, two readers per VHD", "anywhere", MANY, 2),
    Strategy("fan-out within regions only", "spread", MANY, READERS),
    replace(PRODUCT, places=PIPELINE),
    replace(PRODUCT, places=128),
    PRODUCT,
    replace(PRODUCT, places=512),
    replace(PRODUCT, name=f"{PRODUCT.name}, image by image", order="image"),
)

MIXED = (
    PRODUCT,
    replace(PRODUCT, name=f"{PRODUCT.name}, lab by lab", order="lab"),
    replace(PRODUCT, name=f"{PRODUCT.name}, longest first", order="longest"),
    replace(PRODUCT, name=f"{PRODUCT.name}, longest of each lab first", order="longest of lab"),
    replace(PRODUCT, places=512),
    replace(PRODUCT, name=f"{PRODUCT.name}, longest of each lab first", order="longest of lab", places=512),
    Strategy("direct", "factory", MANY),
    Strategy("direct, in the order of the fan-out", "factory", MANY, order=PRODUCT.order),
)


def mixed_bytes(images: int) -> tuple[float, ...]:
    """Return sizes from a fifth to nine fifths of `ALLOCATED_BYTES`, with that as their mean."""
    return tuple(ALLOCATED_BYTES * (0.2 + 1.6 * ((7 * n) % images) / max(1, images - 1)) for n in range(images))


def run_simulation(*, small: bool = False, region_pair_gbps: float | None = None) -> list[dict[str, Any]]:
    """Simulate 60 labs with 40 images each, or with `small` 6 labs with 4; one row per world and strategy."""
    return list(_rows(*((6, 4) if small else (60, 40)), region_pair_gbps))


def _rows(labs: int, images: int, region_pair_gbps: float | None) -> Iterator[dict[str, Any]]:
    pair = region_pair_gbps * 1e9 / 8 if region_pair_gbps else None
    usual = replace(Limits(), region_pair=pair)
    alike = (float(ALLOCATED_BYTES),) * images
    for regions, place in ((1, "1 region"), (6, "6 regions")):
        world = World(labs, regions, alike, IMAGE_SECONDS)
        for strategy in STRATEGIES:
            yield _row(place, world, usual, strategy)
    lower = replace(small_regions(), region_pair=pair)
    yield _row("6 regions, accounts of 25 and 50 Gbps", World(labs, 6, alike, IMAGE_SECONDS), lower, PRODUCT)
    mixed = World(labs, 6, mixed_bytes(images), IMAGE_SECONDS)
    for strategy in MIXED:
        yield _row("6 regions, VHDs of 3 to 27 GiB", mixed, usual, strategy)


def _row(place: str, world: World, limits: Limits, strategy: Strategy) -> dict[str, Any]:
    found, bound = simulate(world, limits, strategy), lower_bound(world, limits)
    (kind, share), *_ = found.busiest
    return {
        "measured": place,
        "strategy": strategy.name,
        "parallel": strategy.places,
        "hours_copied": round(found.copied / 3600, 2),
        "hours_bound": round(bound / 3600, 2),
        "ratio": round(found.copied / bound, 2),
        "hours_images": round(found.done / 3600, 2),
        "gib_crossed": round(found.crossed / GIB),
        "busiest": f"{kind} {share:.2f}",
    }
