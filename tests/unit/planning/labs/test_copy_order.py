"""The order in which copies begin, as the plan declares them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.ranges import SHARED_READERS
from imagefactory.planning.labs.copy_order import copy_order
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.labs.planned_images import LabPlan
from tests.unit.builders import catalog, configuration, facts, image, lab

GIB = 2**30


def plans_of(labs: int, sizes: Sequence[int | None]) -> tuple[LabPlan, ...]:
    """Labs of the factory's region, each with its own account, which all get images of 127 GiB with so many allocated
    bytes (None: unknown)."""
    targets = [lab(f"lab{number}") for number in range(labs)]
    known = {each.key: facts(each.name, storage_account_id=f"/accounts/{each.name}") for each in targets}
    images = [replace(image(f"image{n}"), length=127 * GIB, allocated=size) for n, size in enumerate(sizes)]
    policy = Policy(cross_region="relay")
    return build_plan(configuration(*targets), catalog(*images), facts("factory"), known, policy).labs


sizes_of_images = st.lists(st.integers(1, 127 * GIB), min_size=1, max_size=5)


@given(st.integers(1, SHARED_READERS), sizes_of_images)
def test_copies_begin_lab_by_lab_if_no_copy_reads_another(labs: int, sizes: list[int]) -> None:
    """So those that run together read different VHDs of the factory."""
    plans = plans_of(labs, sizes)
    assert copy_order(plans) == [(one, planned) for one in plans for planned in one.images]


@given(st.integers(SHARED_READERS + 1, 8), sizes_of_images)
def test_where_copies_read_each_other_those_of_small_vhds_begin_sooner(labs: int, sizes: list[int]) -> None:
    """No copy is lost, labs keep their turn with each VHD, and the copy with fewer bytes before it comes first."""
    plans = plans_of(labs, sizes)
    order = copy_order(plans)
    assert len(order) == len(plans) * len(sizes)
    turns: defaultdict[str, list[str]] = defaultdict(list)
    bytes_before = []
    for one, planned in order:
        bytes_before.append(len(turns[planned.name]) * (planned.image.allocated or 0))
        turns[planned.name].append(one.label)
    assert all(labels == [one.label for one in plans] for labels in turns.values())
    assert bytes_before == sorted(bytes_before)


def test_a_vhd_whose_content_is_unknown_counts_with_its_length() -> None:
    """One without a ranges manifest was never copied; only its first copy begins among those of a small VHD."""
    order = [planned.name for _, planned in copy_order(plans_of(SHARED_READERS + 1, [None, GIB]))]
    assert order == ["image0", *["image1"] * (SHARED_READERS + 1), *["image0"] * SHARED_READERS]
