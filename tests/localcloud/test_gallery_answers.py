"""What the embedded cloud answers about a gallery, a definition and a version in its other form."""

from __future__ import annotations

from localcloud.arm.answers import Answers
from tests.localcloud.arm_world import World
from tests.localcloud.gallery_world import GALLERY, IMAGE, VERSION, shown_at, standing

POLICY = {"owner": "it"}


async def test_a_sparse_answer_has_ids_in_lower_case_and_no_defaults(world: World) -> None:
    """One by one and in lists; a policy adds its tags, and nothing that is kept changes."""
    await standing(world)
    places = (GALLERY, IMAGE, VERSION)
    before = [await shown_at(world, path) for path in places]
    world.store.answers = Answers(gallery_answers="sparse", policy_tags=POLICY)
    for path in places:
        told = await shown_at(world, path)
        assert (told["id"], told["location"], told["tags"]) == (path.lower(), "West Europe", POLICY)
        assert told["name"] == path.rpartition("/")[2]
        assert (await shown_at(world, path.rpartition("/")[0]))["value"] == [told]
    told = (await shown_at(world, VERSION))["properties"]
    regions = [{"name": name, "regionalReplicaCount": 1} for name in ("westeurope", "northeurope")]
    assert told["publishingProfile"]["targetRegions"] == regions
    assert "safetyProfile" not in told and "hostCaching" not in told["storageProfile"]["osDiskImage"]
    assert "architecture" not in (await shown_at(world, IMAGE))["properties"]
    world.store.answers = Answers()
    assert [await shown_at(world, path) for path in places] == before
