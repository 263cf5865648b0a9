"""One private embedded cloud for the tests of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.embedded import embedded
from tests.contract.place import Spare


@pytest.fixture(scope="session")
def private_place() -> Iterator[Spare]:
    """The place, for all tests of this folder."""
    with embedded() as (place, wire, cloud):
        yield Spare(place, wire, cloud)


@pytest.fixture
def spare(private_place: Spare) -> Iterator[Spare]:
    """The place without faults and with an empty journal; at the end nothing of a run may be in it."""
    private_place.cloud.client.clear_calls()
    yield private_place
    private_place.cloud.client.clear_faults()
    private_place.cloud.client.set_answers()
    private_place.cloud.client.set_latencies({})
    assert private_place.found().own == []
