"""The stack configuration (namespace `imagefactory`) as one value.

Owns keys, defaults and faults of the settings. Refuses to know the endpoints of a cloud: `imagefactory_azure` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FactoryLab:
    """The lab whose storage holds the factory images."""

    subscription_id: str
    lab_name: str
    resource_group: str | None = None


@dataclass(frozen=True)
class Endpoints:
    """Endpoints given one by one; None: the cloud's own. `blob` holds `{account}` where the account name belongs."""

    resource_manager: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Policy:
    """Which factory images a lab shall hold."""

    keep: int | None = None
    """The newest so many of each image path; None: all."""
    allow_empty_factory: bool = False
    """Whether an empty factory may empty the labs."""


@dataclass(frozen=True)
class Settings:
    """The settings of a stack."""

    factory: FactoryLab
    configuration: Path = Path("Configuration")
    labs: str = "labs.json"
    policy: Policy = Policy()
    cloud: Literal["public", "usgovernment", "china", "custom"] = "public"
    endpoints: Endpoints = Endpoints()


def parse_settings(values: Mapping[str, object], environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping as pulumi or a stack file gives it (keys with or without `imagefactory:`,
    keys of other namespaces are passed over, values as they are or as JSON text).

    Raises ConfigurationError with all faults.
    """
    raise NotImplementedError


def settings_from_stack_file(path: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings from a whole `Pulumi.<stack>.yaml`. Raises ConfigurationError with all faults."""
    raise NotImplementedError
