"""Releases concurrent with other runs: a VHD that another run has just claimed is never deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from imagefactory.azure.storage.page_blobs import PageBlobs
from imagefactory.copying import copier as copiers
from imagefactory.copying.copier import CopyError, user_of, users_text
from imagefactory.copying.staging import Staging
from imagefactory.observed.blobs import BlobRef
from tests.e2e.world import World
from tests.vhdcopy.copying import RELAY_TIMEOUT_SECONDS, a_run, copier_of, request_of, staged_blob, staged_ref

Meanwhile = Callable[[], object]


class Overtaken(PageBlobs):
    """Another client acts between the read and the write of a staged VHD, as often as `times` says."""

    def __init__(self, blobs: PageBlobs, meanwhile: Meanwhile, times: int = 1) -> None:
        super().__init__(blobs._accounts)
        self._meanwhile, self._times = meanwhile, times

    async def delete(self, blob: BlobRef, *, etag: str) -> bool:
        self._act(blob)
        return await super().delete(blob, etag=etag)

    async def set_metadata(self, blob: BlobRef, metadata: Mapping[str, str], *, etag: str) -> str:
        self._act(blob)
        return await super().set_metadata(blob, metadata, etag=etag)

    def _act(self, blob: BlobRef) -> None:
        if blob.file_name.endswith(".vhd") and self._times > 0:
            self._times -= 1
            self._meanwhile()


def claim(world: World, user: str) -> None:
    """Claim the staged VHD, like another run."""
    blob = staged_blob(world)
    metadata = blob.get_blob_properties().metadata
    users = copiers.users_of(metadata) | {user}
    blob.set_blob_metadata({**metadata, **users_text(users)})


def users(world: World) -> frozenset[str]:
    return copiers.users_of(staged_blob(world).get_blob_properties().metadata)


async def release(world: World, user: str, meanwhile: Meanwhile, times: int = 1) -> None:
    """Release, while another client acts in between."""
    async with copier_of(world) as copier:
        overtaken = Overtaken(copier.blobs, meanwhile, times)
        staging = Staging(overtaken, copier, relay_timeout=RELAY_TIMEOUT_SECONDS)
        await staging.release(staged_ref(world), user_of(user))


async def test_a_vhd_that_another_run_claims_meanwhile_is_kept_for_it(world: World) -> None:
    """The release reads it again: the other run is its user now, and its release deletes it."""
    async with a_run(world) as run:
        await run.staging.stage(request_of(world), user_of("one"), None, run.shown)
        await release(world, "one", lambda: claim(world, user_of("two")))
        assert users(world) == {user_of("two")}
        await run.staging.release(staged_ref(world), user_of("two"))
    assert world.staged(world.labs["web"]) == []


async def test_a_vhd_that_another_run_claims_after_its_copy_is_kept_for_it(world: World) -> None:
    """The run that copied it deletes it without reading it again only if nobody has written since."""
    async with a_run(world) as run:
        await run.stage(world)
        claim(world, user_of("two"))
        await run.release(world)
        assert users(world) == {user_of("two")}
        await run.staging.release(staged_ref(world), user_of("two"))
    assert world.staged(world.labs["web"]) == []


async def test_the_user_of_another_copy_of_the_run_does_not_delete_it(world: World) -> None:
    """A release for an image that the VHD was not copied for changes nothing."""
    async with a_run(world) as run:
        await run.stage(world)
        await run.staging.release(staged_ref(world), user_of("two"))
        assert users(world) == {user_of("web")}
        await run.release(world)
    assert world.staged(world.labs["web"]) == []


async def test_two_concurrent_releases_of_the_last_users_leave_nothing(world: World) -> None:
    """Each removes its own user from what the other one has just written."""
    async with a_run(world) as run:
        for user in ("one", "two"):
            await run.staging.stage(request_of(world), user_of(user), None, run.shown)

        def other_leaves() -> None:
            blob = staged_blob(world)
            blob.set_blob_metadata({**blob.get_blob_properties().metadata, **users_text({user_of("one")})})

        await release(world, "one", other_leaves)
    assert world.staged(world.labs["web"]) == []


async def test_a_vhd_that_other_clients_keep_writing_is_kept_with_an_error(world: World) -> None:
    """A release never deletes a VHD that another run copies into."""
    async with a_run(world) as run:
        await run.staging.stage(request_of(world), user_of("one"), None, run.shown)
    blob = staged_blob(world)
    with pytest.raises(CopyError, match="other clients keep writing to it"):
        await release(world, "one", lambda: blob.upload_page(bytes(512), 0, 512), times=99)
    assert blob.exists()
