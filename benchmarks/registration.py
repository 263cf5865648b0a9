"""The product's time per registered resource, compared with that of a bare program with as many resources.

Both run in turn, so that other load on the machine affects both. Compares medians, not single runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.sandbox import Sandbox, Timing


@dataclass(frozen=True)
class Comparison:
    """Medians of one step: seconds per command, and milliseconds per resource in the stack."""

    step: str
    lab_images: int
    product_seconds: float
    bare_seconds: float
    product_resource_ms: float
    bare_resource_ms: float
    ratio: float
    ratios: list[float]
    """The ratio of each round."""
    product_processor_seconds: dict[str, float]
    """Processor time by kind of process; the stand-in of azure-native is no part of the ratio."""
    bare_processor_seconds: dict[str, float]
    processor_ratio: float
    processor_ratios: list[float]

    def to_json(self) -> dict[str, Any]:
        """The value as JSON data."""
        return asdict(self)


def compare(
    sandbox: Sandbox,
    lab_images: int,
    labs: int,
    rounds: int,
    parallel: int,
    say: Callable[[str], None],
    *,
    checkpoints: bool = True,
    lean: bool = False,
) -> list[Comparison]:
    """Run the first `pulumi up` (copies and images take no time) and the next preview, product and bare in turn.

    Spreads `lab_images` over `labs` labs. Each of the `rounds` has new labs and stacks and the same factory.
    `lean`: the bare program drops the SDK's debug messages and collects garbage seldom, as the product does.
    """
    per_lab = max(1, lab_images // labs)
    factory = sandbox.factory(per_lab)
    timings: dict[str, list[tuple[Timing, Timing]]] = {"first up": [], "second preview": []}
    for number in range(rounds):
        say(f"{lab_images} lab images, round {number + 1} of {rounds}")
        product, _ = sandbox.product(factory, labs, parallel)
        bare = sandbox.bare(labs, per_lab, parallel, lean=lean)
        if not checkpoints:
            product, bare = product.without_checkpoints(), bare.without_checkpoints()
        timings["first up"].append((product.up(), bare.up()))
        timings["second preview"].append((product.preview(), bare.preview()))
    return [_compare(step, per_lab * labs, pairs) for step, pairs in timings.items()]


def _compare(step: str, lab_images: int, pairs: list[tuple[Timing, Timing]]) -> Comparison:
    product, bare = ([pair[side] for pair in pairs] for side in (0, 1))
    costs = [median(_cost(each) for each in side) for side in (product, bare)]
    return Comparison(
        step=step,
        lab_images=lab_images,
        product_seconds=round(median(each.seconds for each in product), 2),
        bare_seconds=round(median(each.seconds for each in bare), 2),
        product_resource_ms=round(costs[0], 2),
        bare_resource_ms=round(costs[1], 2),
        ratio=round(costs[0] / costs[1], 2),
        ratios=[round(_cost(ours) / _cost(theirs), 2) for ours, theirs in pairs],
        product_processor_seconds=_by_kind(product),
        bare_processor_seconds=_by_kind(bare),
        processor_ratio=round(median(map(_processor, product)) / median(map(_processor, bare)), 2),
        processor_ratios=[round(_processor(ours) / _processor(theirs), 2) for ours, theirs in pairs],
    )


def _cost(timing: Timing) -> float:
    return 1000 * timing.seconds / timing.resources


def _processor(timing: Timing) -> float:
    return sum(seconds for kind, seconds in timing.processor.items() if kind != "azure-native")


def _by_kind(timings: list[Timing]) -> dict[str, float]:
    kinds = sorted({kind for each in timings for kind in each.processor})
    return {kind: round(median(each.processor.get(kind, 0.0) for each in timings), 2) for kind in kinds}
