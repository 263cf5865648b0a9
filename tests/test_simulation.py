"""The simulation of copies at scale keeps its own rules: no byte is lost, no limit exceeded, no bound undercut."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from benchmarks.__main__ import run
from benchmarks.simulated_copies import ALLOCATED_BYTES, PRODUCT, mixed_bytes
from benchmarks.simulated_limits import Limits
from benchmarks.simulated_network import Capacity, fair_rates
from benchmarks.simulation import Strategy, World, lower_bound, simulate

CAPACITIES: list[Capacity] = [(name,) for name in "abcd"]

worlds = st.builds(
    World,
    labs=st.integers(1, 7),
    regions=st.integers(1, 3),
    sizes=st.lists(st.floats(1e6, 1e9), min_size=1, max_size=4).map(tuple),
    image_seconds=st.sampled_from([0.0, 60.0]),
)
strategies = st.builds(
    Strategy,
    name=st.just("any"),
    sources=st.sampled_from(["factory", "relay", "spread", "anywhere"]),
    places=st.integers(1, 20),
    readers=st.integers(0, 2),
    order=st.sampled_from(["lab", "image", "longest", "longest of lab", "product"]),
    poll_seconds=st.sampled_from([0.0, 45.0]),
)
limits = st.builds(
    Limits,
    blob=st.floats(1e6, 1e8),
    ingress=st.floats(1e6, 1e9),
    egress=st.floats(1e6, 1e9),
    region_pair=st.none() | st.floats(1e6, 1e9),
    agent_requests=st.floats(1, 1000),
)


@given(
    st.lists(st.sets(st.sampled_from(CAPACITIES), min_size=1).map(sorted), max_size=8),
    st.lists(st.floats(0.1, 100), min_size=4, max_size=4),
)
def test_rates_use_no_capacity_up_to_more_than_all_of_it_and_each_flow_has_a_full_one(
    uses: list[list[Capacity]], rates: list[float]
) -> None:
    """Max-min fair: each flow uses a full capacity in which no other flow has a larger share."""
    capacity = dict(zip(CAPACITIES, rates, strict=True))
    found = fair_rates(uses, capacity)
    used = {name: sum(rate for rate, use in zip(found, uses, strict=True) if name in use) for name in capacity}
    assert all(used[name] <= capacity[name] * (1 + 1e-6) for name in capacity)
    for rate, use in zip(found, uses, strict=True):
        assert any(
            used[name] >= capacity[name] * (1 - 1e-6)
            and rate >= max(other for other, its in zip(found, uses, strict=True) if name in its) * (1 - 1e-6)
            for name in use
        )


@settings(max_examples=50)
@given(worlds, limits, strategies)
def test_all_bytes_are_moved_within_the_limits_and_never_before_the_bound(
    world: World, given_limits: Limits, strategy: Strategy
) -> None:
    """For any labs, limits, order and choice of sources, every lab gets all images."""
    assume(not (strategy.poll_seconds and strategy.sources != "factory"))  # the older scripts know no relays
    found = simulate(world, given_limits, strategy)
    assert math.isclose(found.moved, world.total, rel_tol=1e-6)
    assert all(share <= 1 + 1e-6 for _, share in found.busiest)
    assert found.done >= found.copied >= lower_bound(world, given_limits) * (1 - 1e-6)


@settings(max_examples=30)
@given(worlds, limits, st.floats(1, 10))
def test_limits_that_are_all_higher_make_everything_faster_by_as_much(
    world: World, slow: Limits, factor: float
) -> None:
    """And a bound does not rise when a single limit does."""
    world = replace(world, image_seconds=0.0)
    names = ("blob", "ingress", "egress", "agent_requests", "blob_requests", "account_requests", "agent_network")
    pair = slow.region_pair and slow.region_pair * factor
    higher = {name: getattr(slow, name) * factor for name in names}
    fast = replace(slow, **higher, region_pair=pair, response_seconds=slow.response_seconds / factor)
    one, other = simulate(world, slow, PRODUCT), simulate(world, fast, PRODUCT)
    assert math.isclose(one.copied, other.copied * factor, rel_tol=1e-6)
    for name in names:
        assert lower_bound(world, replace(slow, **{name: higher[name]})) <= lower_bound(world, slow) * (1 + 1e-9)


@settings(max_examples=20)
@given(worlds)
def test_each_image_crosses_to_a_region_once_and_to_each_lab_with_direct_copies(world: World) -> None:
    """That is what relays save."""
    regions = {world.region(lab) for lab in range(world.labs)} - {0}
    away = sum(world.region(lab) != 0 for lab in range(world.labs))
    crossed = simulate(world, Limits(), PRODUCT).crossed
    direct = simulate(world, Limits(), replace(PRODUCT, sources="factory")).crossed
    assert math.isclose(crossed, len(regions) * sum(world.sizes)) and math.isclose(direct, away * sum(world.sizes))


@pytest.mark.parametrize("regions", [1, 6])
def test_with_many_labs_the_product_is_near_the_bound_and_its_order_pays(regions: int) -> None:
    """60 labs, 40 images: figures of docs/performance.md."""
    world = World(60, regions, (float(ALLOCATED_BYTES),) * 40)
    bound = lower_bound(world, Limits())
    assert simulate(world, Limits(), PRODUCT).copied <= 1.15 * bound
    for slower in (replace(PRODUCT, order="image"), Strategy("one relay per region", "relay", 64)):
        assert simulate(world, Limits(), slower).copied > 3 * bound


def test_vhds_of_different_sizes_are_near_the_bound_too_because_copies_of_small_ones_begin_sooner() -> None:
    """60 labs, 40 images of 3 to 27 GiB: figures of docs/performance.md."""
    world = World(60, 6, mixed_bytes(40))
    bound = lower_bound(world, Limits())
    assert simulate(world, Limits(), PRODUCT).copied <= 1.15 * bound
    assert simulate(world, Limits(), replace(PRODUCT, order="lab")).copied > 1.2 * bound


@pytest.mark.parametrize(("labs", "doublings"), [(1, 1), (3, 2), (4, 3), (60, 6)])
def test_a_single_image_takes_as_many_copies_in_a_row_as_its_vhds_double(labs: int, doublings: int) -> None:
    """The bound says so, and the product reaches it."""
    world = World(labs, 1, (float(ALLOCATED_BYTES),))
    bound = lower_bound(world, Limits())
    assert math.isclose(bound, doublings * ALLOCATED_BYTES / Limits().blob_rate)
    assert math.isclose(simulate(world, Limits(), PRODUCT).copied, bound, rel_tol=1e-6)


def test_the_command_simulates_without_a_cloud() -> None:
    """With a limit between regions, too."""
    app = Typer()
    app.command()(run)
    done = CliRunner().invoke(app, ["--part", "simulation", "--small", "--region-pair-gbps", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert {row["gib_crossed"] for row in json.loads(done.stdout)["simulation"] if row["measured"] == "1 region"} == {0}
