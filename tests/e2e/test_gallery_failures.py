"""What fails on the way to the gallery costs only itself: the rest is served, and the next run goes on."""

from __future__ import annotations

import os
import signal

import pytest

from tests.e2e.gallery_world import GalleryWorld
from tests.e2e.test_kills import family
from tests.e2e.waiting import wait_until
from tests.e2e.world import FACTORY_CONTAINER, UP

pytestmark = pytest.mark.engine

GOOD, FULL, DENIED, TAKEN, GONE = (f"Win2016/{name}.json" for name in ("Good", "Full", "Denied", "Taken", "Gone"))


def refusal(path: str, status: int, code: str, method: str = "PUT") -> dict[str, object]:
    """A fault rule of the resource manager."""
    return {
        "service": "arm",
        "method": method,
        "path": path,
        "action": {"status": status, "code": code, "message": f"injected {code}"},
    }


def test_one_image_that_fails_stops_no_other_one(gallery_world: GalleryWorld) -> None:
    """A quota, a definition that may not be written, an identifier that somebody else took meanwhile, a VHD that goes
    while Azure reads it: all labs get the others at once, and what failed when its cause is gone."""
    world = gallery_world
    near, far = world.add_lab("near", "Win2016"), world.add_lab("far", "Win2016", region="eastus")
    plain = world.add_lab("plain", "Win2016/Good.json")
    world.deliveries["plain"] = "customImage"
    names = {path: world.add_image(path, 5) for path in (GOOD, FULL, DENIED, TAKEN, GONE)}
    world.cloud.set_faults(
        [
            refusal("/images/Win2016.Full/versions/[^/]*[?]", 409, "QuotaExceeded"),
            refusal("/images/Win2016.Denied[?]", 403, "AuthorizationFailed"),
            refusal("/images/Win2016.Taken[?]", 409, "OperationNotAllowed"),
            {"service": "arm", "path": "Gone/.*/regions/eastus", "action": {"replicationSeconds": 5}},
        ]
    )
    process = world.start(*UP)
    wait_until(lambda: world.replicated("Win2016.Gone") == ["West Europe"])
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    vhd = world.images.pop(names[GONE])
    container.delete_blob(vhd.replace(".vhd", ".json"))
    container.delete_blob(vhd)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0, output
    for code in ("QuotaExceeded", "AuthorizationFailed", "OperationNotAllowed", "SourceBlobNotFound"):
        assert code in output, output
    assert "Traceback" not in output, output
    assert world.made_from().keys() == {world.images[names[GOOD]]}
    served = ["Win2016.Full", "Win2016.Gone", "Win2016.Good"]
    assert world.offers(near) == world.offers(far) == {"images": served}, output
    assert world.held(plain) == {names[GOOD]: "Succeeded"}

    world.cloud.clear_faults()
    run = world.serve()
    served = [f"Win2016.{name}" for name in ("Denied", "Full", "Good", "Taken")]
    made = {world.images[names[path]] for path in (GOOD, FULL, DENIED, TAKEN)}
    assert world.made_from().keys() == {*made, vhd}, run.output
    (left,) = [each for key, each in world.versions().items() if key.startswith("Win2016.Gone/")]
    assert [each["name"] for each in left["properties"]["publishingProfile"]["targetRegions"]] == ["West Europe"]
    assert left["properties"]["provisioningState"] == "Succeeded", "it serves where Azure had made its replica"
    assert world.offers(near) == world.offers(far) == {"images": sorted([*served, "Win2016.Gone"])}
    assert world.up().only_unchanged


@pytest.mark.timeout(200)
def test_a_version_takes_longer_than_a_token_and_a_killed_run_loses_nothing(gallery_world: GalleryWorld) -> None:
    """Tokens of seconds are renewed while Azure replicates. After a kill -9 of all processes in the middle of it, the
    version is taken over by `imagefactory adopt` and no other is made; without it the run says so and serves the rest.
    """
    world = gallery_world
    near = world.add_lab("near", "Win2016")
    first = world.add_image(GOOD, 5)
    world.cloud.set_sign_in(token_seconds=3)
    world.cloud.set_latencies({"galleryReplicationSeconds": 8})
    run = world.serve()
    assert world.made_from().keys() == {world.images[first]}, run.output
    world.cloud.set_sign_in()
    second = world.add_image(GOOD, 6)
    process = world.start(*UP)
    wait_until(lambda: len(world.versions()) == 2)
    for pid in family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    world.pulumi("cancel", "--yes")
    other = world.add_image(FULL, 6)
    world.cloud.set_latencies({})
    run = world.up()
    assert run.code != 0 and "imagefactory adopt" in run.output, run.output
    assert world.offers(near) == {"images": ["Win2016.Full", "Win2016.Good"]}, run.output
    assert world.images[other] in world.made_from()
    adopted = world.adopt()
    assert adopted.code == 0, adopted.output
    run = world.serve()
    assert world.made_from().keys() == {world.images[each] for each in (first, second, other)}, run.output
    assert world.up().only_unchanged


def test_what_cannot_be_read_is_kept_as_it_is(gallery_world: GalleryWorld) -> None:
    """A lab or the gallery that answers 403, and a setting that is gone or names another gallery: the run fails, other
    labs are served, and of what could not be judged nothing is written."""
    world = gallery_world
    world.settings["keep"] = 1
    near, lost = world.add_lab("near", "Win2016"), world.add_lab("lost", "Win2016", region="eastus")
    plain = world.add_lab("plain", "Win2016")
    world.deliveries["plain"] = "customImage"
    first = world.add_image(GOOD, 5)
    world.serve()
    offers = {"images": ["Win2016.Good"]}
    world.cloud.set_faults([refusal("/labs/lost/sharedgalleries", 403, "AuthorizationFailed", "GET")])
    second = world.add_image(GOOD, 6)
    for _ in range(2):
        run = world.up()
        assert run.code != 0 and "AuthorizationFailed" in run.output, run.output
    world.cloud.clear_faults()
    assert world.offers(lost) == world.offers(near) == offers
    assert world.made_from().keys() == {world.images[second]}, "which goes to the region of the lab that was not read"
    (only,) = world.versions().values()
    assert len(only["properties"]["publishingProfile"]["targetRegions"]) == 2

    third = world.add_image(GOOD, 7)
    world.cloud.set_faults([refusal("/galleries/images[?]", 403, "AuthorizationFailed", "GET")])
    named = world.settings["gallery"]
    for broken in (named, None, {"name": "others", "resourceGroup": world.factory.group}):
        world.settings["gallery"] = broken
        if broken is None:
            del world.settings["gallery"]
            world.cloud.clear_faults()
        world.cloud.clear_calls()
        run = world.up()
        assert run.code != 0 and world.gallery_writes() == [], run.output
        assert broken == named or "setting imagefactory:gallery" in run.output, run.output
    assert third in world.held(plain) and world.offers(lost) == world.offers(near) == offers
    assert world.made_from().keys() == {world.images[second]}
    world.settings["gallery"] = named
    world.serve()
    world.serve()
    assert world.made_from().keys() == {world.images[third]} and first not in world.held(plain)
    assert world.up().only_unchanged
