"""Many lab images in one stack, and divided over stacks: time, memory, size of the state and requests of each step.

Without checkpoints, one command at a time. Copies and images take no time, so requests come faster than Azure lets
them, and the peaks per minute are upper bounds. azure-native is the embedded cloud's stand-in: the number of its
processes is that of the genuine plugin, its memory is not.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.sandbox import LABS, BenchmarkError, Project, Sandbox, Timing

BUCKETS = {"read": (250, 25), "write": (200, 10), "delete": (200, 10)}
"""Size, and tokens per second, of the bucket of a subscription, identity and kind of call, per region
(learn.microsoft.com, "Understand how Azure Resource Manager throttles requests", read on 28 November 2026)."""
MINUTE = 60
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/?]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Scale:
    """One step, in all stacks one after the other. A pipeline runs them side by side, each on an agent of its own."""

    measured: str
    """How many stacks and subscriptions."""
    step: str
    lab_images: int
    """In all stacks, after this step."""
    resources: int
    seconds: float
    longest_stack_seconds: float
    processor_seconds: dict[str, float]
    """By kind of process."""
    peak_mib: dict[str, list[int]]
    """Resident memory of each process, in the stack where all together need most, largest first. The others of
    the program are `pulumi` commands that it runs."""
    together_mib: int
    """Memory that the processes of this stack do not share, largest sum at one time."""
    state_bytes: int
    """Of the largest stack."""
    resource_manager_requests: dict[str, int]
    storage_requests: int
    requests_per_minute: dict[str, int]
    """The most of a minute, of one subscription (read, write, delete) and of one storage account."""
    tokens_left: dict[str, float]
    """The fewest that a subscription's bucket would have held; less than 0: Azure would have rejected so many."""

    def to_json(self) -> dict[str, Any]:
        """The value as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Sizes:
    """What is measured: labs, the images of each, the subscriptions they are in, and the stacks that divide them."""

    labs: int
    images: int
    subscriptions: int
    stacks: int
    parallel: int
    is_small: bool
    """Without the steps that change nothing in the cloud; the divided labs get the first up only."""


def run_scale(sandbox: Sandbox, sizes: Sizes, say: Callable[[str], None]) -> list[Scale]:
    """Measure all labs in one stack, then as many labs divided over stacks."""
    # Each subscription keeps a lab when one is removed.
    sizes = replace(sizes, subscriptions=max(1, min(sizes.subscriptions, sizes.labs - 1)))
    found: list[Scale] = []
    for stacks in dict.fromkeys((1, min(sizes.stacks, sizes.subscriptions))):
        for each in _measure(sandbox, replace(sizes, stacks=stacks), is_first_only=sizes.is_small and stacks > 1):
            say(f"{each.measured}, {each.step}: {each.seconds} s, {each.resources} resources")
            found.append(each)
    return found


def _measure(sandbox: Sandbox, sizes: Sizes, *, is_first_only: bool) -> Iterator[Scale]:
    factory = sandbox.factory(sizes.images)
    places = (sizes.labs, sizes.subscriptions, sizes.stacks, sizes.parallel)
    # All images of a lab leave, more than a run may delete by default.
    projects = sandbox.divided(factory, *places, maxDeletes=sizes.images + 1)
    projects = [each.without_checkpoints() for each in projects]
    _check_division(projects[0], sizes.stacks, sizes.labs)
    stacks = f"{sizes.stacks} stack{'' if sizes.stacks == 1 else 's'}"

    def measured(step: str, run: Callable[[Project], Timing], labs: int, images: int) -> Scale:
        sandbox.cloud.clear_calls()
        timings = [run(project) for project in projects]
        kind = f"{stacks}, {sizes.subscriptions} subscriptions"
        return summarize(kind, step, labs * images, timings, sandbox.cloud.calls())

    before, after = (sizes.labs, sizes.images), (sizes.labs, sizes.images + 1)
    yield measured("first up", Project.up, *before)
    if is_first_only:
        return
    if not sizes.is_small:
        yield measured("second up", Project.up, *before)
        yield measured("preview", Project.preview, *before)
    yield measured("refresh", Project.refresh, *before)
    sandbox.add_image(factory, projects[0])
    yield measured("one image added", Project.up, *after)
    _remove_lab(projects[0])
    yield measured("one lab removed", Project.up, sizes.labs - 1, sizes.images + 1)


def _check_division(project: Project, stacks: int, labs: int) -> None:
    """Raise BenchmarkError unless `imagefactory stacks` finds as many stacks, with each lab in one of them."""
    command = [str(project.folder / ".venv/bin/imagefactory"), "stacks", "--format", "json"]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False
    )
    rows = json.loads(done.stdout)["include"] if done.returncode == 0 else []
    if len(rows) != stacks or sum(row["labs"] for row in rows) != labs:
        raise BenchmarkError(f"imagefactory stacks: the labs are not divided\n{done.stdout}{done.stderr}")


def _remove_lab(project: Project) -> None:
    """Remove the first lab; the subscription of the first has the most."""
    file = project.folder / LABS
    wishes = json.loads(file.read_text(encoding="utf-8"))["Labs"]
    file.write_text(json.dumps({"Labs": wishes[1:]}), encoding="utf-8")


def summarize(
    kind: str, step: str, lab_images: int, timings: Sequence[Timing], calls: Iterable[Mapping[str, Any]]
) -> Scale:
    """Return one step from its timing in each stack and the journal of the cloud."""
    largest = max(timings, key=lambda each: each.together_mib)
    processor = Counter[str]()
    for each in timings:
        processor.update(each.processor)
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for call in calls:
        times[_bucket(call)].append(call["at"])
    requests, most, left = Counter[str](), Counter[str](), dict[str, float]()
    for (name, _), at in times.items():
        requests[name] += len(at)
        most[name] = max(most[name], most_within(at, MINUTE))
        if name in BUCKETS:
            left[name] = round(min(left.get(name, BUCKETS[name][0]), fewest_left(at, *BUCKETS[name])))
    return Scale(
        measured=kind,
        step=step,
        lab_images=lab_images,
        resources=sum(each.resources for each in timings),
        seconds=round(sum(each.seconds for each in timings), 1),
        longest_stack_seconds=round(max(each.seconds for each in timings), 1),
        processor_seconds={name: round(seconds, 1) for name, seconds in sorted(processor.items())},
        peak_mib={name: [round(each) for each in peaks] for name, peaks in sorted(largest.peaks_mib.items())},
        together_mib=round(largest.together_mib),
        state_bytes=max(each.state_bytes for each in timings),
        resource_manager_requests={name: requests[name] for name in BUCKETS},
        storage_requests=requests["storage"],
        requests_per_minute={name: most[name] for name in (*BUCKETS, "storage")},
        tokens_left=left,
    )


def _bucket(call: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of a call, and the subscription or storage account whose limits count it."""
    if call["service"] != "arm":
        return "storage", call["path"].split("/")[1]
    kinds = {"GET": "read", "HEAD": "read", "DELETE": "delete"}
    subscription = _SUBSCRIPTION.match(call["path"])
    if subscription is None:
        return "other", ""
    return kinds.get(call["method"], "write"), subscription[1].lower()


def most_within(times: Iterable[float], seconds: float) -> int:
    """Return how many of these times there are in the fullest span of so many seconds."""
    window, most = deque[float](), 0
    for at in sorted(times):
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def fewest_left(times: Iterable[float], size: float, per_second: float) -> float:
    """Return the fewest tokens that a bucket holds if a call takes one at each of these times, also below 0."""
    left = fewest = size
    last = None
    for at in sorted(times):
        left = min(size, left + (0 if last is None else (at - last) * per_second)) - 1
        fewest, last = min(fewest, left), at
    return fewest
