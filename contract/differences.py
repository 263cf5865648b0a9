"""The differences between what was expected and what was observed, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ABSENT = "(absent)"


def differences(expected: Mapping[str, Any], observed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each difference of two reports: experiment, observation, where in it, the values, the source expected.

    Only experiments that were performed are compared. Of one that the embedded cloud does not model, each observation
    is a difference: nothing was known."""
    found: list[dict[str, Any]] = []
    for name, one in observed["experiments"].items():
        other = expected["experiments"].get(name, {})
        if "notModelled" in one and "notModelled" in other:
            continue
        if one.get("failed") != other.get("failed"):
            failures = other.get("failed", _ABSENT), one.get("failed", _ABSENT)
            found.append(_difference(name, "", "failed", *failures, None))
        answers, wanted = one.get("observations", {}), other.get("observations", {})
        for what in dict.fromkeys((*wanted, *answers)):
            if "failed" in one and what not in answers:
                continue  # told once, by `failed`
            left, right = wanted.get(what, _ABSENT), answers.get(what, _ABSENT)
            source = left.get("source") if isinstance(left, dict) else None
            for path, before, after in _compared(_without_source(left), _without_source(right), ""):
                found.append(_difference(name, what, path, before, after, source))
    return found


def _difference(name: str, what: str, path: str, expected: Any, observed: Any, source: str | None) -> dict[str, Any]:
    answers = {"expected": expected, "observed": observed}
    return {"experiment": name, "observation": what, "where": path, **answers, "expectedSource": source}


def _without_source(value: Any) -> Any:
    return {key: each for key, each in value.items() if key != "source"} if isinstance(value, dict) else value


def _compared(expected: Any, observed: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(expected, dict) and isinstance(observed, dict):
        for key in dict.fromkeys((*expected, *observed)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _compared(expected.get(key, _ABSENT), observed.get(key, _ABSENT), inner)
    elif isinstance(expected, list) and isinstance(observed, list) and len(expected) == len(observed):
        for number, (left, right) in enumerate(zip(expected, observed, strict=True)):
            yield from _compared(left, right, f"{path}[{number}]")
    elif expected != observed:
        yield path, expected, observed
