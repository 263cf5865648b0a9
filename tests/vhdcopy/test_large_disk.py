"""A disk of 127 GiB with 200 MiB on it, keys that are disabled, and tokens that end while a copy runs."""

from __future__ import annotations

import random
import uuid

import pytest

from imagefactory.copying.totals import Totals
from imagefactory.errors import ImageFactoryError
from imagefactory.images.ranges import PIECE_BYTES
from localcloud.vhd import footer
from tests.e2e.world import FACTORY_CONTAINER, MIB, STAGING_CONTAINER, World
from tests.vhdcopy.copying import Told, copier_of, copy_image, request_of, staged_equals_source

GIB = 1024 * MIB


@pytest.mark.timeout(200)
async def test_a_large_disk_moves_only_what_it_holds(world: World) -> None:
    """As large as a usual Windows disk: 127 GiB to the lab, 200 MiB to move, the same pages afterwards."""
    ((name, vhd),) = world.images.items()
    source = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, vhd)
    source.delete_blob()
    source.create_page_blob(127 * GIB + 512)
    draw = random.Random(name)
    places = sorted(draw.sample(range(127 * GIB // PIECE_BYTES), 50))
    content = {place * PIECE_BYTES: draw.randbytes(PIECE_BYTES) for place in places}
    content[127 * GIB] = footer(127 * GIB, uuid.uuid5(uuid.NAMESPACE_URL, name))
    for offset, data in content.items():
        source.upload_page(data, offset, len(data))
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    assert totals.moved == 200 * MIB + 512 and totals.moved + totals.empty == 127 * GIB + 512
    staged = world.service(world.labs["web"]).get_blob_client(STAGING_CONTAINER, vhd)
    assert staged.get_blob_properties().size == 127 * GIB + 512
    assert sum((held.end or 0) - (held.start or 0) + 1 for held in staged.list_page_ranges()) == totals.moved
    for offset, data in content.items():
        assert staged.download_blob(offset, len(data)).readall() == data


async def test_accounts_whose_keys_are_disabled_are_copied_between(world: World) -> None:
    """With the run's own identity on both sides; with keys the error names the way out."""
    request, told = request_of(world), Told()
    world.cloud.set_sign_in(keyless_accounts=[world.factory.account, world.labs["web"].account])
    async with copier_of(world, auth="key") as copier:
        with pytest.raises(ImageFactoryError, match="storageAuth"):
            await copier.copy(request, None, {"user"}, told.progress.append, told.messages.append)
    async with copier_of(world) as copier:
        await copier.copy(request, None, {"user"}, told.progress.append, told.messages.append)
    world.cloud.set_sign_in()
    assert staged_equals_source(world)


async def test_tokens_that_end_while_a_copy_runs_are_renewed(world: World) -> None:
    """Each lives for three seconds, the copy for longer; nothing is sent with one that has ended for good."""
    world.cloud.set_sign_in(token_seconds=3)
    world.cloud.set_limits({"blobBytesPerSecond": 2 * MIB, "queueSeconds": 60})
    totals = Totals()
    async with copier_of(world, totals=totals) as copier:
        await copy_image(copier, world)
    assert staged_equals_source(world) and totals.copies == 1
