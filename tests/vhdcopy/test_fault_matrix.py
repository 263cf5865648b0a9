"""Every fault in every phase of a copy: it ends whole, verified and without leavings, in the first run or in the next.

One test per fault; within it all phases run side by side, each into a storage account of its own, struck once. A test
that draws strikes each account twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from imagefactory.copying import copier as copiers
from imagefactory.copying import transfer
from imagefactory.copying.copier import Progress, user_of
from imagefactory.copying.staging import Relay, Staging
from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges_manifest import manifest_name, parse_manifest
from tests.e2e.world import FACTORY_CONTAINER, RANGES, STAGING_CONTAINER, World
from tests.vhdcopy.copying import (
    add_md5s,
    copy_image,
    manifest_of,
    open_copier,
    request_of,
    staged_equals_source,
    staged_ref,
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
"""What can happen to a call only that reads another blob; the other phases have no such call."""

OF_WRITES = {"first", "middle", "last"}

RELAY_TIMEOUT_SECONDS = 1.0
"""How long a relay waits for copies that do not come."""

ENDS_THE_RUN = {("signature expired", phase) for phase in ("create", "footer", "mark", "cleanup")}
"""A refusal that no second attempt of the same run mends; the next run goes on. (Ranges sign anew and try again.)"""


class Watcher:
    """Stands where a resource's row stands."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __call__(self, progress: Progress) -> None:
        """Nobody looks."""

    def say(self, message: str) -> None:
        self.messages.append(message)

    warn = say


@dataclass
class Run:
    """One provider process: its staging, what it told, and its sums."""

    staging: Staging
    totals: Totals
    watcher: Any = field(default_factory=Watcher)

    async def stage_and_release(self, world: World, lab: str) -> None:
        """What VhdCopy and StagedVhdRelease do, with a look at the staged VHD between."""
        request, user = request_of(world, lab), user_of(lab)
        copied = await self.staging.stage(request, user, None, self.watcher)
        assert await asyncio.to_thread(staged_equals_source, world, lab)
        facts = await asyncio.to_thread(lambda: staged_blob(world, lab).get_blob_properties().metadata)
        assert facts[copiers.STATE] == copiers.WHOLE and facts[copiers.DIGEST] == copied.digest
        await self.staging.release(request.destination, user)


@asynccontextmanager
async def a_run(world: World) -> AsyncIterator[Run]:
    totals = Totals()
    async with open_copier(world, totals=totals) as (blobs, copier):
        yield Run(Staging(blobs, copier, relay_timeout=RELAY_TIMEOUT_SECONDS), totals)


def staged_blob(world: World, lab: str) -> Any:
    vhd = staged_ref(world, lab).file_name
    return world.service(world.labs[lab]).get_blob_client(STAGING_CONTAINER, vhd)


def phases(world: World, account: str) -> dict[str, dict[str, Any]]:
    """The call of each phase, as a fault rule sees it."""
    (vhd,) = world.images.values()
    ranges = sorted(parse_manifest(world.bytes_of(world.factory, FACTORY_CONTAINER, manifest_name(vhd)), RANGES).ranges)
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
    """The world's image has a manifest: a lab got it before."""
    world.add_lab("before")
    async with open_copier(world) as (_, copier):
        await copy_image(copier, world, "before")
    return world


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_in_any_phase_costs_no_byte_and_leaves_nothing(known: World, fault: str) -> None:
    """Struck once, the copy ends whole and equal; where it ends the run, the error is one line and the next goes on."""
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
    assert [rule["hits"] for rule in world.cloud.faults()] == [1] * len(chosen), "every phase was struck"
    failed = {(fault, phase) for phase, error in zip(chosen, ended, strict=True) if error is not None}
    assert failed == {each for each in ENDS_THE_RUN if each[0] == fault}, ended
    for error in ended:
        if error is not None:
            assert isinstance(error, ImageFactoryError) and "\n" not in str(error) and "sig=" not in str(error)
    async with a_run(world) as run:
        for _, phase in failed:
            await run.stage_and_release(world, phase)
        assert run.totals.moved == 0 or ("signature expired", "create") in failed
    assert all(world.staged(world.labs[phase]) == [] for phase in chosen)


@pytest.mark.timeout(240)
@pytest.mark.randomized(seeds=(0,), steps=4)
async def test_two_drawn_faults_cost_no_byte_and_leave_nothing(known: World, seed: int, steps: int) -> None:
    """So many labs as steps, each struck twice: every run that ends early says why, and the third ends well for all."""
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
async def test_a_fault_that_does_not_end_ends_the_run_and_keeps_what_is_there(
    known: World, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its bounds the error comes; once the fault is over, the next run moves the rest and no more."""
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


async def test_a_missing_role_ends_the_run_at_once_and_is_named(known: World) -> None:
    """What no second attempt can mend is not tried again, and the error tells the role."""
    world = known
    refusal = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    rule = phases(world, world.labs["web"].account)["middle"]
    world.cloud.set_faults([{"service": "blob", "action": refusal, **rule}])
    async with a_run(world) as run:
        with pytest.raises(ImageFactoryError, match="Storage Blob Data Contributor"):
            await run.stage_and_release(world, "web")
    assert [each["hits"] for each in world.cloud.faults()] == [1]


async def test_a_relay_whose_copy_fails_is_done_without(known: World) -> None:
    """Its readers copy from the factory and say so; the relay's own lab keeps its error for itself."""
    world = known
    world.add_lab("relay")
    world.add_lab("reader")
    refusal = {"status": 400, "code": "NoSuchLuck"}
    rule = phases(world, world.labs["relay"].account)["first"]
    world.cloud.set_faults([{"service": "blob", "action": refusal, **rule}])
    relay = relay_of(world)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "reader"), user_of("reader"), relay, run.watcher)
    assert staged_equals_source(world, "reader")
    assert any("copying from the factory" in message for message in run.watcher.messages)


async def test_an_image_crosses_to_a_region_once_and_the_relay_stays_until_it_is_read(known: World) -> None:
    """Three accounts of one region: one reads the factory, two read the relay, whose release waits for them."""
    world = known
    for name in ("relay", "second", "third"):
        world.add_lab(name)
    relay = replace(relay_of(world), uses=2)
    add_md5s(world)
    manifest, content = manifest_of(world), source_blob(world).download_blob().readall()
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "relay"), user_of("relay"), relay, run.watcher)
        releasing = asyncio.ensure_future(run.staging.release(relay.blob, user_of("relay"), run.watcher))
        requests = {lab: request_of(world, lab) for lab in ("second", "third")}
        source_blob(world).delete_blob()  # so what is copied from now on comes from elsewhere
        for lab, request in requests.items():
            assert not releasing.done()
            await run.staging.stage(request, user_of(lab), relay, run.watcher)
        await releasing
    assert manifest and run.totals.moved == 3 * manifest.allocated
    assert all(staged_blob(world, lab).download_blob().readall() == content for lab in requests)
    assert world.staged(world.labs["relay"]) == []


async def test_a_relay_does_not_wait_for_ever_for_copies_that_do_not_come(known: World) -> None:
    """While nothing is copied its patience ends; one that comes later copies from the factory."""
    world = known
    world.add_lab("relay")
    world.add_lab("late")
    relay = replace(relay_of(world), uses=5)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "relay"), user_of("relay"), relay, run.watcher)
        await run.staging.release(relay.blob, user_of("relay"), run.watcher)
        assert world.staged(world.labs["relay"]) == []
        await run.staging.stage(request_of(world, "late"), user_of("late"), relay, run.watcher)
    assert staged_equals_source(world, "late") and world.staged(world.labs["relay"]) == []


async def test_a_relay_that_its_reader_began_is_its_own_labs_to_remove(known: World) -> None:
    """A reader that comes first makes it for the relay's lab, whose copy then is a matter of nothing."""
    world = known
    world.add_lab("relay")
    world.add_lab("reader")
    relay = relay_of(world)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "reader"), user_of("reader"), relay, run.watcher)
    async with a_run(world) as run:
        await run.staging.stage(request_of(world, "relay"), user_of("relay"), None, run.watcher)
        assert run.totals.moved == 0
        await run.staging.release(relay.blob, user_of("relay"), run.watcher)
    assert world.staged(world.labs["relay"]) == []


def relay_of(world: World) -> Relay:
    """The staged VHD of the lab `relay`, with one reader."""
    return Relay(staged_ref(world, "relay"), 1, user_of("relay"))


def source_blob(world: World) -> Any:
    (vhd,) = world.images.values()
    return world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
