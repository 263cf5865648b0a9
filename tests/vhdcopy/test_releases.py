"""Releases beside other runs: what somebody else has just claimed is never deleted, however the two meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.copying import copier as copiers
from imagefactory.copying.copier import CopyError, user_of, users_text
from imagefactory.copying.staging import Staging
from imagefactory.observed.blobs import BlobRef
from tests.e2e.world import World
from tests.vhdcopy.copying import open_copier, request_of, staged_ref
from tests.vhdcopy.test_fault_matrix import RELAY_TIMEOUT_SECONDS, a_run, staged_blob

Meanwhile = Callable[[], None]


class Overtaken(PageBlobs):
    """Somebody else acts between a look at a staged VHD and what follows from it, as often as `times` says."""

    def __init__(self, blobs: PageBlobs, meanwhile: Meanwhile, times: int = 1) -> None:
        super().__init__(blobs._accounts)
        self._meanwhile, self._times = meanwhile, times

    async def delete(self, blob: BlobRef, *, etag: str) -> bool:
        self._act(blob)
        return await super().delete(blob, etag=etag)

    async def set_metadata(self, blob: BlobRef, metadata: Mapping[str, str], *, etag: str) -> bool:
        self._act(blob)
        return await super().set_metadata(blob, metadata, etag=etag)

    def _act(self, blob: BlobRef) -> None:
        if blob.file_name.endswith(".vhd") and self._times > 0:
            self._times -= 1
            self._meanwhile()


def claim(world: World, user: str) -> None:
    """What another run writes when it claims the staged VHD."""
    blob = staged_blob(world, "web")
    metadata = blob.get_blob_properties().metadata
    users = copiers.users_of(metadata) | {user}
    blob.set_blob_metadata({**metadata, **users_text(users)})


def users(world: World) -> frozenset[str]:
    return copiers.users_of(staged_blob(world, "web").get_blob_properties().metadata)


async def release(world: World, user: str, meanwhile: Meanwhile, times: int = 1) -> None:
    """A release by a run that is overtaken."""
    async with open_copier(world) as (blobs, copier):
        staging = Staging(Overtaken(blobs, meanwhile, times), copier, relay_timeout=RELAY_TIMEOUT_SECONDS)
        await staging.release(staged_ref(world), user_of(user))


async def test_a_vhd_that_another_run_claims_meanwhile_stays_for_it(world: World) -> None:
    """The release looks again: it is the other's now, and goes with the other's release."""
    async with a_run(world) as run:
        await run.staging.stage(request_of(world), user_of("one"), None, run.watcher)
        await release(world, "one", lambda: claim(world, user_of("two")))
        assert users(world) == {user_of("two")}
        await run.staging.release(staged_ref(world), user_of("two"))
    assert world.staged(world.labs["web"]) == []


async def test_the_last_two_users_that_leave_at_the_same_time_leave_nothing(world: World) -> None:
    """Each takes itself out of what the other one has just written."""
    async with a_run(world) as run:
        for user in ("one", "two"):
            await run.staging.stage(request_of(world), user_of(user), None, run.watcher)

        def other_leaves() -> None:
            blob = staged_blob(world, "web")
            blob.set_blob_metadata({**blob.get_blob_properties().metadata, **users_text({user_of("one")})})

        await release(world, "one", other_leaves)
    assert world.staged(world.labs["web"]) == []


async def test_a_vhd_that_is_written_all_the_time_stays_and_that_is_an_error(world: World) -> None:
    """Nobody deletes under the hands of a run that copies into it."""
    async with a_run(world) as run:
        await run.staging.stage(request_of(world), user_of("one"), None, run.watcher)
    blob = staged_blob(world, "web")
    with pytest.raises(CopyError, match="other clients keep writing to it"):
        await release(world, "one", lambda: blob.upload_page(bytes(512), 0, 512), times=99)
    assert blob.exists()
