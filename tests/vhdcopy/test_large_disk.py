"""A disk of 127 GiB with 40 MiB of data, disabled keys, and tokens that expire during a copy."""

from __future__ import annotations

import random
import uuid

import pytest

from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import PIECE_BYTES
from localcloud.vhd import footer
from tests.e2e.world import MIB, World
from tests.vhdcopy.copying import (
    allocated,
    copier_of,
    copy_image,
    copy_of,
    request_of,
    source_blob,
    staged_blob,
    staged_equals_source,
)

GIB = 1024 * MIB


@pytest.mark.timeout(200)
async def test_only_the_data_of_a_large_disk_is_copied(world: World) -> None:
    """As large as a usual Windows disk: 127 GiB in the lab, 40 MiB copied, the same pages."""
    (name,), source = world.images, source_blob(world)
    source.delete_blob()
    source.create_page_blob(127 * GIB + 512)
    draw = random.Random(name)
    places = sorted(draw.sample(range(127 * GIB // PIECE_BYTES), 10))
    content = {place * PIECE_BYTES: draw.randbytes(PIECE_BYTES) for place in places}
    content[127 * GIB] = footer(127 * GIB, uuid.uuid5(uuid.NAMESPACE_URL, name))
    for offset, data in content.items():
        source.upload_page(data, offset, len(data))
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    assert totals.moved == 40 * MIB + 512 and totals.moved + totals.empty == 127 * GIB + 512
    staged = staged_blob(world)
    assert staged.get_blob_properties().size == 127 * GIB + 512
    assert sum(part.length for part in allocated(staged)) == totals.moved
    for offset, data in content.items():
        assert staged.download_blob(offset, len(data)).readall() == data


async def test_a_copy_works_between_accounts_with_disabled_keys(world: World) -> None:
    """With the run's own identity on both sides; with keys, the error names the setting."""
    request = request_of(world)
    world.cloud.set_sign_in(keyless_accounts=[world.factory.account, world.labs["web"].account])
    async with copier_of(world, auth="key") as copier:
        with pytest.raises(ImageFactoryError, match="storageAuth"):
            await copy_of(copier, request)
    async with copier_of(world) as copier:
        await copy_of(copier, request)
    world.cloud.set_sign_in()
    assert staged_equals_source(world)


async def test_tokens_that_expire_during_a_copy_are_renewed(world: World) -> None:
    """Each is valid for three seconds, and the copy takes longer; one range at a time, so none waits that long."""
    world.cloud.set_sign_in(token_seconds=3)
    world.cloud.set_limits({"blobBytesPerSecond": 2 * MIB, "queueSeconds": 60})
    totals = Totals()
    async with copier_of(world, totals=totals, in_flight=1) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world) and totals.copies == 1
