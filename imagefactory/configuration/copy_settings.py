"""How VHDs are copied (`imagefactory:copy`), and the options of the provider `vhdcopy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic.alias_generators import to_camel

from imagefactory.configuration.pydantic_findings import Section

CopyMethod = Literal["ranged", "service"]
StorageAuth = Literal["aad", "key"]
ApiVersion = Annotated[
    str | None,
    Field(
        pattern=r"^20\d\d-\d\d-\d\d$",
        description="a version of the storage service, at least 2020-10-02",
        examples=["2021-08-06"],
    ),
]
"""The version of the storage service that requests name; None: the one that this project is tested with."""


class CopySettings(Section):
    """How VHDs are copied."""

    method: Annotated[CopyMethod, Field(description="ranged or service")] = "ranged"
    """By ranges, verified and resumable; or by the storage service's copy operation."""
    max_in_flight: Annotated[
        int | None,
        Field(ge=1, description="how many requests may be in progress at a time, at least 1", examples=[256]),
    ] = None
    """Requests of all copies together; None: the copier's default."""
    max_mbps: Annotated[
        int | None,
        Field(ge=1, description="megabits per second of all copies, at least 1", examples=[4000]),
    ] = None
    """Megabits per second of all copies together; None: no limit."""
    verify_first: Annotated[bool, Field(description="true or false")] = True
    """Whether a copy of a VHD that has no manifest is compared with the digests that the service computes of it."""


class CopyOptions(CopySettings):
    """The options of the provider `vhdcopy`: the settings `copy`, and how it accesses storage accounts.

    The properties of a provider are strings, and part of the state: their names and values must not change.
    """

    storage_auth: StorageAuth = "aad"
    storage_api_version: ApiVersion = None

    def to_properties(self) -> dict[str, str]:
        """Return the properties of the provider; omit what is None, and `verifyFirst` unless it is false."""
        given = {**dict(self), "verify_first": None if self.verify_first else "false"}
        return {_property(name): str(value) for name, value in given.items() if value is not None}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> CopyOptions:
        """Read all properties of the provider. Raises `ValueError` with a phrase that names the invalid one."""
        values = {name: properties[_property(name)] for name in cls.model_fields if properties.get(_property(name))}
        try:
            return cls.model_validate(values, strict=False, by_name=True)
        except ValidationError as problem:
            wrong = problem.errors(include_url=False)[0]["loc"][0]
            raise ValueError(f"{_property(str(wrong))} is not valid") from None


def _property(name: str) -> str:
    return "copyMethod" if name == "method" else to_camel(name)
