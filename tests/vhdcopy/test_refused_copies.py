"""What a copy does when one side refuses: it says which side, and tries again only if that can help."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.azure.storage import containers
from imagefactory.errors import ImageFactoryError
from tests.e2e.world import STAGING_CONTAINER, World
from tests.vhdcopy.copying import Shown, copier_of, copy_image, service_copier_of, source_blob, staged_equals_source

WRITES = {"service": "blob", "method": "PUT", "path": "comp=page(&|$)"}


async def refusal(world: World, shown: Shown | None = None) -> str:
    async with copier_of(world) as copier:
        with pytest.raises(ImageFactoryError) as caught:
            await copy_image(copier, world, shown=shown)
    return str(caught.value)


def writes(world: World) -> int:
    return sum(call["method"] == "PUT" and "comp=page" in call["path"] for call in world.cloud.calls())


async def test_a_source_that_the_service_does_not_find_is_not_told_as_changed(world: World) -> None:
    """It is there and unchanged when the copy looks again: the refusal is the error, with the source as its subject."""
    shown = Shown()
    world.cloud.set_faults([{**WRITES, "action": {"status": 404, "code": "CannotVerifyCopySource"}}])
    text = await refusal(world, shown)
    assert text.startswith(f"{world.factory.account}: {source_blob(world).blob_name}: Azure returned 404"), text
    assert "Check that it exists and that this identity may read it" in text
    assert not [message for message in shown.messages if "changed" in message]


@pytest.mark.parametrize(
    "code",
    [
        "AuthorizationFailure",
        "PublicAccessNotPermitted",
        "KeyBasedAuthenticationNotPermitted",
        "AuthorizationPermissionMismatch",
        "AccountIsDisabled",
        "AllowedCopyScope",
    ],
)
async def test_a_source_that_no_other_token_opens_is_asked_once(world: World, code: str) -> None:
    """No range is tried again, and the factory's account is named."""
    answer = {"status": 403, "code": "CannotVerifyCopySource", "copySourceStatus": 403, "copySourceCode": code}
    world.cloud.set_faults([{**WRITES, "action": answer}])
    world.cloud.clear_calls()
    text = await refusal(world)
    assert f"{world.factory.account}: " in text and f"403 {code}" in text, text
    staged = f"/{world.labs['web'].account}/"  # a late call of an earlier test is to another account
    calls = [call for call in world.cloud.calls() if call["method"] == "PUT" and staged in call["path"]]
    ranges = [call["offset"] for call in calls if "comp=page" in call["path"]]
    assert ranges and len(ranges) == len(set(ranges))


@pytest.mark.parametrize("method", ["ranged", "service"])
async def test_a_copy_waits_for_a_container_that_is_being_deleted(
    world: World, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says so; then the copy is made."""
    monkeypatch.setattr(containers, "BETWEEN_SECONDS", 0.05)
    lab, shown = world.labs["web"], Shown()
    container = world.service(lab).create_container(STAGING_CONTAINER)
    world.cloud.set_latencies({"containerDeleteSeconds": 1})
    container.delete_container()
    copiers: Any = copier_of if method == "ranged" else service_copier_of
    async with copiers(world) as copier:
        await copy_image(copier, world, shown=shown)
    world.cloud.set_latencies({})
    assert staged_equals_source(world)
    note = f"waiting for container '{STAGING_CONTAINER}' of {lab.account}, which is being deleted"
    assert note in {progress.note for progress in shown.progress}
