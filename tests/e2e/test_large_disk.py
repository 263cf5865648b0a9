"""A disk as large as a usual Windows disk, with little on it, from the factory to a lab with the real engine."""

from __future__ import annotations

import random
import uuid

import pytest

from imagefactory.images.ranges import PIECE_BYTES
from localcloud.vhd import footer
from tests.e2e.world import FACTORY_CONTAINER, MIB, World

pytestmark = pytest.mark.engine

GIB = 1024 * MIB


def test_a_disk_of_127_gib_reaches_a_lab_with_200_mib_moved(world: World) -> None:
    """The catalog tells afterwards how much of it is held, and the lab has its image."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5))
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, world.images[name])
    blob.delete_blob()
    blob.create_page_blob(127 * GIB + 512)
    draw = random.Random(1)
    for place in draw.sample(range(127 * GIB // PIECE_BYTES), 50):
        blob.upload_page(draw.randbytes(PIECE_BYTES), place * PIECE_BYTES, PIECE_BYTES)
    blob.upload_page(footer(127 * GIB, uuid.uuid4()), 127 * GIB, 512)
    run = world.serve()
    written = [call["length"] for call in world.cloud.calls() if call["length"] and f"/{web.account}/" in call["path"]]
    assert sum(written) == 200 * MIB + 512 and max(written) <= PIECE_BYTES
    assert "200 MiB moved, 126.8 GiB skipped as empty" in run.output, run.output
    assert world.held(web) == {name: "Succeeded"} and world.staged(web) == []
    assert world.image(web, name)["tags"]["Digest"].startswith("sha256:")
