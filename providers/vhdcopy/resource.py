"""What a resource of this provider is to the server: its inputs, and the acts of its life.

Owns the rules that both resources share: required inputs, ids that Azure compares without regard to case, and what a
change of an input means. It knows neither gRPC nor Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from providers.vhdcopy.progress import Row
    from providers.vhdcopy.services import Services

Properties = dict[str, str | float]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a string that only an update will tell (pulumi's rpc.UNKNOWN)."""


class Kept(Exception):
    """A failed create or update whose resource stays in the state under `id`, so that the next run goes on with it."""

    def __init__(self, id: str, outputs: Properties) -> None:
        super().__init__(id)
        self.id = id
        self.outputs = outputs


@dataclass(frozen=True, slots=True)
class Text:
    """A string input.

    `is_id`: an ARM id, stored in lower case because Azure's own casing varies. `is_output`: another resource's output,
    which the engine leaves out of a check when that resource failed; it then skips this one. `is_hint`: it may be
    missing, and says how the work is done, not what comes of it: a change of it is no change of the resource.
    """

    name: str
    is_id: bool = False
    is_output: bool = False
    is_hint: bool = False


class Resource(Protocol):
    """One resource type. Its outputs do not repeat its inputs: the engine writes all of the state at each step."""

    @property
    def texts(self) -> tuple[Text, ...]:
        """The string inputs."""
        ...

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the inputs that are whole numbers."""
        ...

    @property
    def replaces(self) -> bool:
        """Whether a changed input makes a new resource, or changes the one that is there."""
        ...

    def diagnostics(self, inputs: Properties) -> Mapping[str, str]: ...

    def planned(self, inputs: Properties) -> Properties: ...

    async def create(self, services: Services, inputs: Properties, row: Row) -> tuple[str, Properties]: ...

    async def read(self, services: Services, inputs: Properties) -> bool: ...

    async def delete(self, services: Services, inputs: Properties) -> None: ...


def check(resource: Resource, given: Properties) -> tuple[Properties, dict[str, str]]:
    """The inputs as they are stored, and what is wrong with them by property."""
    names = (*(text.name for text in resource.texts), *resource.numbers)
    optional = {text.name for text in resource.texts if text.is_output or text.is_hint}
    diagnostics = {name: "it is missing" for name in names if given.get(name) in {None, ""} and name not in optional}
    diagnostics |= {name: "there is no such input" for name in given if name not in names}
    diagnostics |= {
        name: "it is not a whole number"
        for name in resource.numbers
        if name not in diagnostics and (not isinstance(given[name], float) or given[name] != int(given[name]))
    }
    ids = {text.name for text in resource.texts if text.is_id}
    inputs = {name: str(value).lower() if name in ids else value for name, value in given.items()}
    if not diagnostics:
        diagnostics = dict(resource.diagnostics(inputs))
    return inputs, diagnostics


def changed(resource: Resource, old: Properties, new: Properties) -> list[str]:
    """The names of the inputs that differ and matter, in order."""
    names = (*(text.name for text in resource.texts if not text.is_hint), *resource.numbers)
    return [name for name in names if old.get(name) != new.get(name)]
