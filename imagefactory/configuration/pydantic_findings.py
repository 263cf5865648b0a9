"""The structure of configuration: pydantic's findings as diagnostics.

Defines the messages for missing and unknown keys and for values of a wrong type, and the types of what identifies a
lab. Does not apply rules that need more than one value. The models' field descriptions and examples are the remedies
and the editor's help.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.json_documents import Steps
from imagefactory.diagnostics import Diagnostic, Location, error

SubscriptionId = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
        description="the id of the subscription that contains the lab",
        examples=["00000000-0000-0000-0000-000000000000"],
    ),
]
LabName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,50}$",
        description="the lab's name of 1 to 50 letters, digits, hyphens and underscores",
        examples=["TeamLab"],
    ),
]
"""learn.microsoft.com, "Naming rules and restrictions for Azure resources", Microsoft.DevTestLab/labs."""
ResourceGroup = Annotated[
    str | None,
    Field(
        pattern=r"^[^\x00-'*-,/:-@\[-^`{-\x7f]{0,89}[^\x00-'*-,./:-@\[-^`{-\x7f]$",
        description="the resource group of the lab, or omit the key",
        examples=["TeamLabRG"],
    ),
]
"""The same page, Microsoft.Resources/resourcegroups: 1 to 90 letters, digits and `_().-`, no full stop at the end.
The pattern excludes all others, because editors and Python lack the class of all letters."""

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (Mapping, "an object"),
    (type(None), "null"),
)
_WANTED = {
    "variable": "the name of an environment variable",
    "string": "a string",
    "list": "a list",
    "model": "an object",
    "bool": "true or false",
    "int": "a whole number",
    "dict": "an object",
    "datetime": "a date",
}


class Strict(BaseModel):
    """Base of the models of configuration: no unknown keys, no type conversion, immutable."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, field_title_generator=lambda name, field: field.alias or name
    )


class Section(Strict):
    """A model whose keys are in camel case in stack files and pulumi, and its fields' names in Python code."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


def nearest(written: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that was most likely meant, compared case-insensitively; None if none is similar."""
    by_key = {fold(name): name for name in valid}
    found = get_close_matches(fold(written), by_key, n=1)
    return by_key[found[0]] if found else None


def structure_diagnostics(
    problem: ValidationError,
    root: type[Strict],
    consequence: str,
    subject: Callable[[Steps], str],
    location: Callable[[Steps, bool], Location | None],
) -> list[Diagnostic]:
    """Return one diagnostic for each finding.

    `root` is the model that was validated. `location` gets the steps of a value and whether to locate its key.
    """
    models = _by_key(root)
    findings = problem.errors(include_url=False)
    unknown = {(finding["loc"][:-1], fold(str(finding["loc"][-1]))) for finding in findings if _is_unknown(finding)}
    diagnostics = []
    for finding in findings:
        steps, kind, value = finding["loc"], finding["type"], finding["input"]
        owner = next((models[step] for step in reversed(steps[:-1]) if step in models), root)
        valid = {field.alias or name: field for name, field in owner.model_fields.items()}
        key = str(steps[-1]) if steps else ""
        field = valid.get(key)
        wanted = _help(field.description, field.examples) if field else _wanted(kind)
        if kind == "missing":
            if (steps[:-1], fold(key)) in unknown:
                continue  # the key exists in another case, and is reported as unknown
            parent, fact = steps[:-1], f'"{key}" is missing'
            diagnostics.append(
                error(subject(parent), fact, consequence, f'Add "{key}": {wanted}', location(parent, False))
            )
        elif _is_unknown(finding):
            meant = nearest(key, valid)
            names = ", ".join(f'"{name}"' for name in valid)
            remedy = f'Write "{meant}"' if meant else f"Remove it; valid keys: {names}"
            fact = f'unknown key "{key}"' + (" in another case" if meant and fold(meant) == fold(key) else "")
            diagnostics.append(error(subject(steps[:-1]), fact, consequence, remedy, location(steps, True)))
        else:
            fact = "the list is empty" if kind == "too_short" else _wrong(kind, value)
            diagnostics.append(error(subject(steps), fact, consequence, f"Write {wanted}", location(steps, False)))
    return diagnostics


def finding_fact(problem: ValidationError) -> str:
    """Return the first finding as a fact that quotes no value: `value[0].id: expected a string, got null`."""
    finding = problem.errors(include_url=False)[0]
    steps, kind = finding["loc"], finding["type"]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
    if kind == "missing":
        return f'"{place}" is missing'
    fact = _wrong(kind, finding["input"]) if kind.endswith("_type") else "has an unexpected value"
    return f"{place}: {fact}" if place else fact


def _by_key(root: type[Strict]) -> dict[str | int, type[Strict]]:
    """Return the models in the fields of a model, by the keys of these fields."""
    return {
        field.alias or name: kind
        for name, field in root.model_fields.items()
        for kind in (field.annotation, *get_args(field.annotation))
        if get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, Strict)
    }


def _is_unknown(finding: ErrorDetails) -> bool:
    return finding["type"] == "extra_forbidden"


def _wanted(kind: str) -> str:
    return _WANTED.get(kind.removesuffix("_type"), "another value")


def _wrong(kind: str, value: object) -> str:
    if kind.endswith("_type"):
        found = next((name for python, name in _KINDS if isinstance(value, python)), "something else")
        return f"expected {_wanted(kind)}, got {found}"
    return f"{json.dumps(value, ensure_ascii=False, default=str)} is not valid"


def _help(description: str | None, examples: list[object] | None) -> str:
    return f"{description}, for example {json.dumps(examples[0])}" if examples else f"{description}"
