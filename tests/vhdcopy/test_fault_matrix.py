"""Every fault in every phase of a copy: the first run or the next one finishes it, verified and without remains.

One test per fault; within it, all phases run in parallel, each into its own storage account with one fault. The random
test injects two faults per account.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from imagefactory.copying import transfer
from imagefactory.copying.copier import user_of
from imagefactory.errors import ImageFactoryError
from tests.e2e.world import STAGING_CONTAINER, World
from tests.vhdcopy.copying import (
    a_run,
    add_md5s,
    content_of,
    copier_of,
    copy_image,
    manifest_of,
    relay_of,
    request_of,
    source_blob,
    staged_blob,
    staged_equals_source,
)

FAULTS: dict[str, dict[str, Any]] = {
    "busy": {"status": 503, "code": "ServerBusy"},
    "busy for a second": {"status": 503, "code": "ServerBusy", "retryAfter": 1},
    "throttled": {"status": 429, "code": "TooManyRequests", "retryAfter": 1},
    "server error": {"status": 500, "code": "InternalError"},
    "dropped": {"drop": True},
    "answer lost": {"drop": "after"},
    "slow": {"delaySeconds": 1},
    "token expired": {"status": 401, "code": "InvalidAuthenticationInfo"},
    "signature expired": {"status": 403, "code": "AuthenticationFailed"},
    "corrupted page": {"corrupt": True},
    "source access expired": {"status": 403, "code": "CannotVerifyCopySource"},
    "source changed": {"status": 412, "code": "SourceConditionNotMet"},
}
OF_RANGES = {"corrupted page", "source access expired", "source changed"}
"""Faults of calls that read another blob; only phases that write ranges have such calls."""

OF_WRITES = {"first", "middle", "last"}


def phases(world: World, account: str) -> dict[str, dict[str, Any]]:
    """The call of each phase, as a fault rule."""
    manifest = manifest_of(world)
    assert manifest
    ranges = sorted(manifest.ranges)
    assert len(ranges) > 3, "the disk has a first, a middle and a last range"
    blob, page = rf"/{account}/{STAGING_CONTAINER}/[^?]*\.vhd", "comp=page(&|$)"
    return {
        "create": {"method": "PUT", "path": f"{blob}$"},
        "first": {"method": "PUT", "path": f"{blob}.*{page}", "offset": ranges[0].offset},
        "middle": {"method": "PUT", "path": f"{blob}.*{page}", "offset": ranges[len(ranges) // 2].offset},
        "last": {"method": "PUT", "path": f"{blob}.*{page}", "offset": ranges[-1].offset},
        "footer": {"method": "GET", "path": f"{blob}$"},
        "mark": {"method": "PUT", "path": f"{blob}.*comp=metadata"},
        "cleanup": {"method": "DELETE", "path": f"{blob}$"},
    }


@pytest.fixture
async def known(world: World) -> World:
    """A world whose image has a manifest, because it was copied to a lab before."""
    world.add_lab("before")
    async with copier_of(world) as copier:
        await copy_image(copier, world, "before")
    return world


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_copy_with_a_fault_in_any_phase_is_complete_and_leaves_nothing(known: World, fault: str) -> None:
    """The run repeats the call, with a new token or SAS if the service rejected it, and the copy equals its source."""
    world = known
    chosen = [phase for phase in phases(world, "") if fault not in OF_RANGES or phase in OF_WRITES]
    rules = []
    for phase in chosen:
        lab = world.add_lab(phase)
        await asyncio.to_thread(world.service(lab).create_container, STAGING_CONTAINER)
        rules.append({"service": "blob", "times": 1, "action": FAULTS[fault], **phases(world, lab.account)[phase]})
    world.cloud.set_faults(rules)
    async with a_run(world) as run:
        ended = await asyncio.gather(*(run.stage_and_release(world, phase) for phase in chosen), return_exceptions=True)
    assert [rule["hits"] for rule in world.cloud.faults()] == [1] * len(chosen), "every phase had its fault"
    assert ended == [None] * len(chosen)
    assert all(world.staged(world.labs[phase]) == [] for phase in chosen)


@pytest.mark.timeout(240)
@pytest.mark.randomized(seeds=(0,), steps=4)
async def test_a_copy_with_two_random_faults_is_complete_and_leaves_nothing(
    known: World, seed: int, steps: int
) -> None:
    """`steps` labs, each with two faults: every failed run reports why, and the third one succeeds for all."""
    world, draw = known, random.Random(seed)
    everything = [(fault, phase) for fault in FAULTS for phase in phases(world, "")]
    possible = [(fault, phase) for fault, phase in everything if fault not in OF_RANGES or phase in OF_WRITES]
    rules, waiting = [], [f"struck{number}" for number in range(steps)]
    for name in waiting:
        lab = world.add_lab(name)
        await asyncio.to_thread(world.service(lab).create_container, STAGING_CONTAINER)
        for fault, phase in draw.sample(possible, 2):
            rules.append({"service": "blob", "times": 1, "action": FAULTS[fault], **phases(world, lab.account)[phase]})
    world.cloud.set_faults(rules)
    for _ in range(3):
        async with a_run(world) as run:
            ended = await asyncio.gather(
                *(run.stage_and_release(world, lab) for lab in waiting), return_exceptions=True
            )
        errors = {lab: error for lab, error in zip(waiting, ended, strict=True) if error is not None}
        assert all(isinstance(error, ImageFactoryError) and "\n" not in str(error) for error in errors.values()), errors
        waiting = list(errors)
    assert not waiting, errors
    assert all(world.staged(lab) == [] for lab in world.labs.values() if lab.name.startswith("struck"))


@pytest.mark.parametrize("fault", ["server error", "dropped", "token expired", "source access expired", "busy"])
async def test_a_permanent_fault_fails_the_run_and_keeps_its_progress(
    known: World, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails within bounds; after the fault, the next run copies the rest and no more."""
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(transfer, "BUSY_SECONDS", 2.0)
    world = known
    rule = phases(world, world.labs["web"].account)["last"]
    world.cloud.set_faults([{"service": "blob", "action": FAULTS[fault], **rule}])
    async with a_run(world) as run:
        with pytest.raises(ImageFactoryError) as caught:
            await run.stage_and_release(world, "web")
    assert "\n" not in str(caught.value) and "is kept" in str(caught.value)
    world.cloud.clear_faults()
    async with a_run(world) as again:
        await again.stage_and_release(world, "web")
    assert again.totals.kept > 0 and again.totals.moved < run.totals.moved
    assert again.totals.moved + again.totals.kept == run.totals.moved + again.totals.moved
    assert world.staged(world.labs["web"]) == []


async def test_a_missing_role_fails_the_run_without_a_retry_and_is_named(known: World) -> None:
    """A retry cannot help, and the error names the role."""
    world = known
    refusal = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    rule = phases(world, world.labs["web"].account)["middle"]
    world.cloud.set_faults([{"service": "blob", "action": refusal, **rule}])
    async with a_run(world) as run:
        with pytest.raises(ImageFactoryError, match="Storage Blob Data Contributor"):
            await run.stage_and_release(world, "web")
    assert [each["hits"] for each in world.cloud.faults()] == [1]


async def test_a_relay_whose_copy_fails_is_not_used(known: World) -> None:
    """Its readers copy from the factory, with a warning; only the relay's own lab fails."""
    world = known
    world.add_lab("relay")
    world.add_lab("reader")
    refusal = {"status": 400, "code": "NoSuchLuck"}
    rule = phases(world, world.labs["relay"].account)["first"]
    world.cloud.set_faults([{"service": "blob", "action": refusal, **rule}])
    relay = relay_of(world)
    async with a_run(world) as run:
        await run.stage(world, "reader", relay)
    assert staged_equals_source(world, "reader")
    assert any("copying from the factory" in message for message in run.shown.messages)


async def test_an_image_is_copied_to_a_region_once_and_the_relay_is_kept_until_it_is_read(known: World) -> None:
    """Three accounts of a region: one reads the factory, two read the relay, whose release waits for them."""
    world = known
    for name in ("relay", "second", "third"):
        world.add_lab(name)
    relay = relay_of(world, uses=2)
    add_md5s(world)
    manifest, content = manifest_of(world), content_of(source_blob(world))
    async with a_run(world) as run:
        await run.stage(world, "relay", relay)
        releasing = asyncio.ensure_future(run.release(world, "relay"))
        requests = {lab: request_of(world, lab) for lab in ("second", "third")}
        source_blob(world).delete_blob()  # so that later copies cannot read it
        for lab, request in requests.items():
            assert not releasing.done()
            await run.staging.stage(request, user_of(lab), relay, run.shown)
        await releasing
    assert manifest and run.totals.moved == 3 * manifest.allocated
    assert all(content_of(staged_blob(world, lab)) == content for lab in requests)
    assert world.staged(world.labs["relay"]) == []


async def test_a_relay_does_not_wait_forever_for_planned_copies(known: World) -> None:
    """Its timeout expires while no copy runs; a later copy reads the factory."""
    world = known
    world.add_lab("relay")
    world.add_lab("late")
    relay = relay_of(world, uses=5)
    async with a_run(world) as run:
        await run.stage(world, "relay", relay)
        await run.release(world, "relay")
        assert world.staged(world.labs["relay"]) == []
        await run.stage(world, "late", relay)
    assert staged_equals_source(world, "late") and world.staged(world.labs["relay"]) == []


async def test_a_relay_that_its_reader_started_is_removed_by_its_own_lab(known: World) -> None:
    """A reader that is first copies it for the relay's lab, whose own copy then moves nothing."""
    world = known
    world.add_lab("relay")
    world.add_lab("reader")
    relay = relay_of(world)
    async with a_run(world) as run:
        await run.stage(world, "reader", relay)
    async with a_run(world) as run:
        await run.stage(world, "relay")
        assert run.totals.moved == 0
        await run.release(world, "relay")
    assert world.staged(world.labs["relay"]) == []
