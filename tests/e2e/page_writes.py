"""Page writes into the labs' accounts that the journal tells of."""

from __future__ import annotations

from typing import NamedTuple

from tests.e2e.world import World


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


def total(writes: list[PageWrite] | set[PageWrite]) -> int:
    """Their bytes."""
    return sum(write.length for write in writes)
