"""A run within the limits of the resource manager, which throttles as Azure publishes it."""

from __future__ import annotations

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.engine


def test_48_images_of_labs_are_made_within_azures_limits(world: World) -> None:
    """The program, the copier and azure-native share the buckets; every lab has every image, and nothing failed."""
    paths = [f"Win{number}/Datacenter.json" for number in range(12)]
    labs = [world.add_lab(f"lab{number}", *paths) for number in range(4)]
    world.add_images(*((path, 5) for path in paths))
    world.cloud.set_latencies({"imageCreateSeconds": 2})
    world.cloud.set_limits(
        {
            "subscriptionReads": {"size": 250, "perSecond": 25},
            "subscriptionWrites": {"size": 200, "perSecond": 10},
            "subscriptionDeletes": {"size": 200, "perSecond": 10},
        }
    )
    world.serve("--parallel", "64")
    for lab in labs:
        assert world.held(lab) == dict.fromkeys(world.images, "Succeeded")
        assert world.staged(lab) == []
