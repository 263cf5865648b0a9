"""How many requests the resource manager and storage accounts get: linear in labs, subscriptions, accounts and images.

docs/performance.md has the same as a table. Without what depends on time or on the VHD: retries, further polls, the
records of copies that take seconds, ranges and their digests.
"""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from tests.e2e.cloud_calls import taken_kinds
from tests.e2e.world import UP, World
from tests.vhdcopy.test_requests import CONTAINER, COPY, LEARN, RELEASE

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"
SUBSCRIPTIONS, LABS, FACTORY_IMAGES = 2, 4, 3
"""Each lab has a storage account of its own."""
IMAGES = LABS * FACTORY_IMAGES

READ = Counter(
    {
        "GET labs of a subscription": SUBSCRIPTIONS,
        "GET images of a lab": LABS,
        "GET accounts of a subscription": SUBSCRIPTIONS,
        "GET list": 1,
        "GET companion": FACTORY_IMAGES,
    }
)
"""What each preview and run reads: labs and their accounts, and the factory. Only VHDs that older scripts saved need
their companion."""

CHECK = Counter({"GET vhd": 2 * FACTORY_IMAGES})
"""First sector and footer of each VHD that a lab is yet to get."""

AZURE_NATIVE = Counter({"GET image": 3, "PUT image": 1, "GET operation": 1})
"""Whether an image exists, its creation, a poll, its result, and the image once more."""

OWN = Counter({"GET image": 1}) + COPY + RELEASE
"""Whether the image exists before the release, and the storage requests around the ranges."""

ABSENCE = Counter({"GET image": 1, "GET images of a lab": 1})
"""Whether the images of a lab exist before their copies: the first one by itself, all others by a listing."""


def times(number: int, each: Counter[str]) -> Counter[str]:
    """These requests, so many times."""
    return Counter({kind: number * count for kind, count in each.items()})


def timeless(kinds: Counter[str]) -> Counter[str]:
    """Without the record of an unfinished copy, which is written every few seconds."""
    return Counter({kind: number for kind, number in kinds.items() if not kind.endswith(" record")})


def test_a_run_makes_so_many_requests_for_each_lab_subscription_account_and_image(world: World) -> None:
    """A preview and a run without news list, and ask for no image; a refresh adds one listing for each lab, and the one
    request for each image that azure-native makes; the first run adds a fixed number for each image. Only the status
    reads labs that labs.json does not list: the factory lab and another one."""
    world.settings["copy"] = {"verifyFirst": False}
    subscriptions = (world.subscription, str(uuid.uuid4()))
    for number in range(LABS):
        world.add_lab(f"lab{number}", "Win2016", subscription=subscriptions[number % SUBSCRIPTIONS])
    world.add_lab("elsewhere", subscription=subscriptions[1])
    world.add_images(*((WINDOWS, day) for day in range(5, 5 + FACTORY_IMAGES)))
    copies = times(FACTORY_IMAGES, LEARN + Counter({"PUT manifest": 1})) + times(LABS, CONTAINER + ABSENCE)
    first = READ + CHECK + copies + times(IMAGES, OWN + AZURE_NATIVE)
    refresh = READ + Counter({"GET images of a lab": LABS, "GET image": IMAGES})
    for arguments, expected in (
        (UP, first),
        (("preview",), READ),
        (UP, READ),
        ((*UP, "--refresh"), refresh),
        (("status",), READ + Counter({"GET labs of a subscription": SUBSCRIPTIONS, "GET images of a lab": 2})),
    ):
        world.cloud.clear_calls()
        run = world.pulumi(*arguments)
        assert run.code == 0, run.output
        assert timeless(taken_kinds(world.cloud)) == timeless(expected), arguments
