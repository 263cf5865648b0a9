"""What Azure answered, as models: whatever does not fit is an error that names the request.

Defines the base of the models, which are next to the code that uses them, and the text of the error. Does not quote
values, because they can be secrets. Ignores what no model names: Azure adds to its responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from imagefactory.azure.core.errors import CloudError, cloud_error
from imagefactory.configuration.pydantic_findings import finding_fact

Tags = dict[str, "str | None"]
"""The tags of a resource, by name."""

SDK_FAILURES = (AttributeError, KeyError, TypeError, ValueError, RecursionError, SyntaxError)
"""How the SDK of storage and its parsers fail if an element is missing or invalid, or if the response is no XML."""

_REMEDY = "Run again; if the error persists, check whether a proxy changes the responses of Azure"


class Answer(BaseModel):
    """Base of the models, with Azure's names in camelCase. By itself, any JSON object."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True, extra="ignore")


Model = TypeVar("Model", bound=BaseModel)


def fitted(model: type[Model], value: object, subject: str, request: str, what: str = "") -> Model:
    """Return a value of the response to `request` as a model; `what` names it if it is not all of the response.

    Raises `CloudError`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as problem:
        raise misfit(subject, request, finding_fact(problem), what) from None


def misfit(subject: str, request: str, fact: str, what: str = "") -> CloudError:
    """Return the error for a successful response that is not as Azure documents it."""
    fact = f"the response to {request} is not valid: {what and f'{what}: '}{fact}"
    return CloudError(cloud_error(subject, fact, remedy=_REMEDY).diagnostic, 200)


def label(resource: Mapping[str, object]) -> str:
    """Return the name of a listed resource, or the last part of its id; empty if it has neither."""
    name, id = resource.get("name"), resource.get("id")
    return name if isinstance(name, str) else id.rpartition("/")[2] if isinstance(id, str) else ""
