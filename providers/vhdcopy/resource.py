"""A resource type as the server sees it: a model of its inputs, and the operations of its life.

Defines what all resource types share: how inputs are checked and stored, and which changes count. Does not know gRPC or
Azure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from providers.vhdcopy.progress import Row
    from providers.vhdcopy.services import Services

Properties = Mapping[str, Any]
"""Strings and numbers by name, and lists and objects of them."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A string that is unknown at preview, as the engine writes it (pulumi's rpc.UNKNOWN)."""

HINT = "hint"
"""Marks an input that affects how the work is done, not its result: a change of it does not change the resource."""
UPDATED = "updated"
"""Marks an input whose change updates the resource, even if that of others replaces it."""
ONCE = "once"
"""Marks an input that is given for one update: it counts whenever it is given, and its absence changes nothing."""
CASELESS = "caseless"
"""Marks an input whose letter case is not compared."""


class State(NamedTuple):
    """A resource as it was found, for the state of the stack."""

    id: str
    inputs: Properties
    outputs: Properties


class Kept(Exception):
    """A failed create or update whose resource is kept in the state under `id`, so that the next run resumes it.

    `inputs` are those that a read found; None: those of the state.
    """

    def __init__(self, id: str, outputs: Properties, inputs: Properties | None = None) -> None:
        super().__init__(id)
        self.id = id
        self.outputs = outputs
        self.inputs = inputs


def _whole(value: object) -> int:
    if not isinstance(value, (int, float)) or not float(value).is_integer():
        raise ValueError("is not a whole number")
    return int(value)


def _or_unknown(value: object, known: ValidatorFunctionWrapHandler) -> Any:
    return value if value == UNKNOWN else known(value)


OrUnknown = WrapValidator(_or_unknown)
"""Accepts a value that is unknown at preview; put it last."""
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


class Resource(ABC, Generic[In]):
    """One resource type. Outputs repeat inputs only if programs need them: the engine writes all of the state at each
    step."""

    inputs: type[In]
    part = ""
    """What its creation is in the chain of an image (`imagefactory.telemetry.chains`); empty: nothing."""
    replaces = False
    """Whether a changed input replaces the resource, unless it is `UPDATED`; otherwise it updates it."""
    deletes_first = False
    """Whether a replacement deletes the old resource before it creates the new one."""

    def planned(self, inputs: In) -> Properties:
        """Return the outputs as far as they are known at preview. Raises `ImageFactoryError`."""
        return {}

    @abstractmethod
    async def create(self, services: Services, inputs: In, row: Row) -> tuple[str, Properties]:
        """Create or update; return id and outputs. Raises `ImageFactoryError`, or `Kept` to keep the resource."""

    async def read(self, services: Services, inputs: In) -> bool | State:
        """Return whether the resource still exists, or as what. Raises `ImageFactoryError`, or `Kept` if unfinished."""
        return True

    async def find(self, services: Services, id: str) -> State | None:
        """Return the resource of an id to import; None: there is none. Raises `ImageFactoryError`."""
        return None

    async def delete(self, services: Services, inputs: In) -> None:
        """Delete what the resource created; no error if it does not exist. Raises `ImageFactoryError`."""


_PROBLEMS = {
    "missing": "is missing",
    "string_too_short": "is missing",
    "string_type": "is not a string",
    "tuple_type": "is not a list",
    "model_type": "is not an object",
    "extra_forbidden": "is not an input of this resource",
}


def check(inputs: type[Inputs], given: Properties) -> tuple[Properties, dict[str, str]]:
    """Return the inputs as they are stored, and their problems by property."""
    known = {field.alias for field in inputs.model_fields.values()}
    problems = {name: "is not an input of this resource" for name in given if name not in known}
    stored = given
    try:
        stored = stored_inputs(inputs.model_validate(given))
    except ValidationError as invalid:
        for problem in invalid.errors():
            reason = _PROBLEMS.get(problem["type"]) or str(problem.get("ctx", problem).get("error", problem["msg"]))
            path = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])
            problems["".join(path).lstrip(".")] = reason
    return stored, problems


def stored_inputs(inputs: Inputs) -> dict[str, Any]:
    """Return inputs as the state has them; a value that is unknown at preview stays as it is."""
    return inputs.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)


def changed(inputs: type[Inputs], old: Properties, new: Properties) -> list[str]:
    """Return the names of the inputs that differ and matter, in order."""

    def differs(name: str, metadata: list[Any]) -> bool:
        values = old.get(name), new.get(name)
        if ONCE in metadata:
            return values[1] is not None
        if CASELESS in metadata:
            values = str(values[0]).lower(), str(values[1]).lower()
        return HINT not in metadata and values[0] != values[1]

    fields = ((field.alias or "", field.metadata) for field in inputs.model_fields.values())
    return [name for name, metadata in fields if differs(name, metadata)]


def replacing(resource: Resource[Any], names: list[str]) -> list[str]:
    """Return which of the changed inputs replace the resource."""
    updated = {field.alias for field in resource.inputs.model_fields.values() if UPDATED in field.metadata}
    return [name for name in names if resource.replaces and name not in updated]
