"""Page writes into the labs' accounts: those that the journal tells of, and those that unfinished copies vouch for."""

from __future__ import annotations

from typing import NamedTuple

from imagefactory.copying import copier
from imagefactory.images.ranges_manifest import manifest_name, parse_manifest
from tests.e2e.world import RANGES, STAGING_CONTAINER, World


class PageWrite(NamedTuple):
    """A range of a staged VHD: path of its URL, offset and length in bytes."""

    path: str
    offset: int
    length: int


def page_writes(world: World) -> list[PageWrite]:
    """What was written since the journal was cleared, oldest first."""
    accounts = {lab.account for lab in world.labs.values()}
    return [
        PageWrite(call["path"].partition("?")[0], call["offset"], call["length"])
        for call in world.cloud.calls()
        if call["length"] and call["status"] == 201 and call["path"].split("/")[1] in accounts
    ]


def recorded(world: World) -> set[PageWrite]:
    """What the record beside each unfinished VHD says is there and right."""
    found: set[PageWrite] = set()
    for lab in {lab.account: lab for lab in world.labs.values()}.values():
        blobs = world.staged(lab)
        for vhd in blobs:
            if vhd.endswith(".vhd") and manifest_name(vhd) in blobs:
                record = parse_manifest(world.bytes_of(lab, STAGING_CONTAINER, manifest_name(vhd)), RANGES)
                facts = world.service(lab).get_blob_client(STAGING_CONTAINER, vhd).get_blob_properties().metadata
                if record.vhd == facts[copier.COPY]:
                    found |= {PageWrite(f"/{lab.account}/{STAGING_CONTAINER}/{vhd}", *part) for part in record.ranges}
    return found


def total(writes: list[PageWrite] | set[PageWrite]) -> int:
    """Their bytes."""
    return sum(write.length for write in writes)
