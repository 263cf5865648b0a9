"""A resource type as the server sees it: a model of its inputs, and the operations of its life.

Defines what all resource types share: how inputs are checked and stored, and which changes count. Does not know gRPC or
Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from providers.vhdcopy.progress import Row
    from providers.vhdcopy.services import Services

Properties = Mapping[str, str | float]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A string that is unknown at preview, as the engine writes it (pulumi's rpc.UNKNOWN)."""

HINT = "hint"
"""Marks an input that affects how the work is done, not its result: a change of it does not change the resource."""


class Kept(Exception):
    """A failed create or update whose resource is kept in the state under `id`, so that the next run resumes it."""

    def __init__(self, id: str, outputs: Properties) -> None:
        super().__init__(id)
        self.id = id
        self.outputs = outputs


def _whole(value: object) -> int:
    if not isinstance(value, (int, float)) or not float(value).is_integer():
        raise ValueError("is not a whole number")
    return int(value)


Text = Annotated[str, StringConstraints(min_length=1)]
ArmId = Annotated[str, StringConstraints(min_length=1, to_lower=True)]
"""An ARM id, stored in lower case because Azure's own casing varies."""
WholeNumber = Annotated[int, BeforeValidator(_whole)]
"""A whole number; protobuf has only floats."""


class Inputs(BaseModel):
    """The inputs of a resource type. Their names and values are in the state and must not change.

    An output of another resource is optional: the engine omits it from a check if that resource failed, and then skips
    this one. Properties without a field are ignored here and rejected by `check`: the state may have some from earlier.
    """

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


In = TypeVar("In", bound=Inputs)


class Resource(Generic[In]):
    """One resource type. Its outputs do not repeat its inputs: the engine writes all of the state at each step."""

    inputs: type[In]
    replaces = False
    """Whether a changed input replaces the resource; otherwise it updates it."""

    def planned(self, inputs: In) -> Properties:
        """Return the outputs as far as they are known at preview. Raises `ImageFactoryError`."""
        return {}

    async def create(self, services: Services, inputs: In, row: Row) -> tuple[str, Properties]:
        """Create or update; return id and outputs. Raises `ImageFactoryError`, or `Kept` to keep the resource."""
        raise NotImplementedError

    async def read(self, services: Services, inputs: In) -> bool:
        """Return whether the resource still exists. Raises `ImageFactoryError`, or `Kept` if it is unfinished."""
        return True

    async def delete(self, services: Services, inputs: In) -> None:
        """Delete what the resource created; no error if it does not exist. Raises `ImageFactoryError`."""


_PROBLEMS = {"missing": "is missing", "string_too_short": "is missing", "string_type": "is not a string"}


def check(inputs: type[Inputs], given: Properties) -> tuple[Properties, dict[str, str]]:
    """Return the inputs as they are stored, and their problems by property."""
    known = {field.alias for field in inputs.model_fields.values()}
    problems = {name: "is not an input of this resource" for name in given if name not in known}
    stored = given
    try:
        stored = inputs.model_validate(given).model_dump(by_alias=True, exclude_unset=True)
    except ValidationError as invalid:
        for problem in invalid.errors():
            reason = _PROBLEMS.get(problem["type"]) or str(problem.get("ctx", problem).get("error", problem["msg"]))
            problems[str(problem["loc"][0])] = reason
    return stored, problems


def changed(inputs: type[Inputs], old: Properties, new: Properties) -> list[str]:
    """Return the names of the inputs that differ and matter, in order."""
    names = [field.alias or "" for field in inputs.model_fields.values() if HINT not in field.metadata]
    return [name for name in names if old.get(name) != new.get(name)]
