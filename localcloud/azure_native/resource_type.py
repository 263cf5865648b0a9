"""A resource type of azure-native: its place, properties, request body and responses, derived from one entry.

Pure: see `property_tables` for the values. Path parameters force a replacement, as do the properties that its API
specification marks as settable at creation only (`x-ms-mutability`) at the top level, or that the genuine plugin lists
(`replacement.go`); whatever else changes is an update, which Azure may refuse.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from localcloud.azure_native import property_tables
from localcloud.azure_native.property_tables import ReadOnly, Required, Values

_PARAMETER = re.compile(r"{(\w+)}")
SUBSCRIPTION = "subscriptionId"
SYSTEM_DATA: Values = {
    "createdAt": str,
    "createdBy": str,
    "createdByType": str,
    "lastModifiedAt": str,
    "lastModifiedBy": str,
    "lastModifiedByType": str,
}


@dataclass(frozen=True, eq=False)
class ResourceType:
    """One entry. `path` is that of the API specification: its parameters are inputs, except the subscription."""

    type_name: str
    api_version: str
    path: str
    nested: Values
    """The properties inside `properties` of requests and responses; inputs and outputs have them at the top level."""
    beside: Values
    """The properties beside `properties`."""
    created_with: frozenset[str] = frozenset()
    """Properties that are set at creation only: a change forces a replacement."""
    identifiers: Mapping[str, str] = field(default_factory=dict)
    """Arrays that are compared by a property of their items, whatever the order (`x-ms-identifiers`)."""

    @cached_property
    def path_parameters(self) -> tuple[str, ...]:
        """The inputs that define the place, the name last."""
        return tuple(each for each in _PARAMETER.findall(self.path) if each != SUBSCRIPTION)

    @property
    def name_parameter(self) -> str:
        """The input that is named after the resource if the program does not set it."""
        return self.path_parameters[-1]

    @property
    def has_random_name(self) -> bool:
        """Whether a name that the program does not set gets a random suffix: that of a resource without a parent."""
        return self.path.partition("/providers/")[2].count("{") == 1

    @cached_property
    def replaced_by(self) -> frozenset[str]:
        """The inputs whose change forces a replacement."""
        return frozenset({SUBSCRIPTION, *self.path_parameters, *self.created_with})

    @cached_property
    def inputs(self) -> Values:
        """The table of all inputs."""
        path = dict.fromkeys(self.path_parameters, Required(str))
        return {**self._body, "azureApiVersion": str, **path}

    @cached_property
    def outputs(self) -> Values:
        """The table of all outputs."""
        every: Values = property_tables.outputs_of({**self.nested, **self.beside})
        return {**every, "azureApiVersion": str, "id": str}

    def resource_path(self, subscription: str, inputs: Mapping[str, Any]) -> str:
        """Return the ARM id for requests. The service may return it in another casing."""
        values = {**inputs, SUBSCRIPTION: subscription}
        return _PARAMETER.sub(lambda found: quote(str(values[found[1]]), safe=""), self.path)

    def failures(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return the problems of a program's inputs."""
        return list(property_tables.failures(self.inputs, inputs))

    def request_body(self, inputs: Mapping[str, Any]) -> Values:
        """Return the body of a PUT."""
        body: Values = property_tables.sent(property_tables.inputs_of(self.beside), inputs)
        return {**body, "properties": property_tables.sent(property_tables.inputs_of(self.nested), inputs)}

    def outputs_of(self, response: Mapping[str, Any]) -> Values:
        """Return the outputs for the state from ARM's response."""
        flat = {**response.get("properties", {}), **response}
        return {**property_tables.known(self.outputs, flat), "azureApiVersion": self.api_version}

    def inputs_of(self, outputs: Mapping[str, Any]) -> Values:
        """Return the outputs that a program can set as inputs, without the path parameters."""
        return property_tables.known(self._body, outputs)

    def imported_inputs(self, resource_id: str, response: Mapping[str, Any]) -> Values:
        """Return the inputs that would create an existing resource. Path parameters are those of the id, in its casing.

        Raises ValueError for the id of another resource type.
        """
        pattern = _PARAMETER.sub(r"(?P<\1>[^/]+)", self.path.replace(".", r"\."))
        match = re.fullmatch(pattern, resource_id, re.IGNORECASE)
        if match is None:
            raise ValueError(f"failed to parse '{resource_id}' against the path of {self.type_name}")
        path = {name: unquote(match[name]) for name in self.path_parameters}
        return {**path, **(property_tables.without_empty(self.inputs_of(self.outputs_of(response))) or {})}

    def preview(self, inputs: Mapping[str, Any]) -> Values:
        """Return the outputs that a preview can determine."""
        return {**property_tables.previewed(self.outputs, inputs), "azureApiVersion": self.api_version}

    def schema(self) -> Values:
        """Return the package schema of the type."""
        inputs = {key: property_tables.schema_type(kind) for key, kind in self.inputs.items()}
        for key in self.replaced_by & inputs.keys():
            inputs[key]["willReplaceOnChanges"] = True
        filled_in = ("location", self.name_parameter)
        required = [key for key, kind in self.inputs.items() if isinstance(kind, Required) and key not in filled_in]
        outputs = {key: property_tables.schema_type(kind) for key, kind in self.outputs.items() if key != "id"}
        return {"inputProperties": inputs, "requiredInputs": sorted(required), "properties": outputs}

    @cached_property
    def _body(self) -> Values:
        table: Values = property_tables.inputs_of({**self.nested, **self.beside})
        return table


def read_only(**kinds: Any) -> Values:
    """Return a table of read-only properties."""
    return {key: ReadOnly(kind) for key, kind in kinds.items()}
