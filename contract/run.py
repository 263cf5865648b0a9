"""One run: performs the experiments one after the other, cleans up whatever happens, and returns the report."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from contract.bench import Bench
from contract.leftovers import clean
from contract.place import VERSIONS, Place
from contract.registry import Experiment
from contract.sources import MEASURED
from contract.wire import ContractError, Wire


def run(
    place: Place, wire: Wire, experiments: Iterable[Experiment], say: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    """Clean up after earlier runs, perform the experiments, and clean up. Return the report and what is left.

    An experiment that fails is reported, and the next ones are performed. Cleans up also if it is interrupted, and then
    raises KeyboardInterrupt. Raises ContractError if the place cannot be listed."""
    number, found = secrets.token_hex(4), {}
    for each_left in clean(Bench(place, wire, number), say):
        say(each_left)
    left: list[str] = []
    throttled: list[dict[str, Any]] = []
    try:
        for each in experiments:
            say(each.name)
            bench = Bench(place, wire, number)
            found[each.name] = _performed(bench, each)
            throttled += bench.throttled
    finally:
        say("Cleaning up (press Ctrl-C to stop; the next run cleans up then).")
        left = _cleaned(Bench(place, wire, number), say)
    report = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "cloud": place.name,
        "region": place.region,
        "run": number,
        "apiVersions": {**VERSIONS, "blobs": place.storage_version},
        "experiments": found,
        "throttled": throttled,
        "left": left,
    }
    return report, left


def _cleaned(bench: Bench, say: Callable[[str], None]) -> list[str]:
    try:
        left = clean(bench, say)
    except ContractError as error:
        left = [f"lab {bench.place.lab}: cannot be listed ({error}). Run the contract again to clean up."]
    for each in left:
        say(each)
    return left


def _performed(bench: Bench, experiment: Experiment) -> dict[str, Any]:
    result: dict[str, Any] = {"asks": experiment.asks}
    if bench.place.embedded and experiment.not_modelled:
        return {**result, "notModelled": experiment.not_modelled}
    try:
        experiment.run(bench)
    except (ContractError, LookupError, ValueError, TypeError, AttributeError) as problem:
        # An answer that is unlike all others is a finding, too: it must not end the run.
        line = traceback.extract_tb(problem.__traceback__)[1].lineno
        unlike = f"an answer has an unexpected form ({type(problem).__name__}, line {line} of the experiment's module)"
        result["failed"] = bench.forms.message(str(problem) if isinstance(problem, ContractError) else unlike)
    if not bench.place.embedded:
        for each in bench.observations.values():
            each["source"] = MEASURED
    return {**result, "observations": bench.observations}
