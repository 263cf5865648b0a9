"""The settings of messages about runs (`imagefactory:notify`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from imagefactory.configuration.pydantic_findings import Section

Format = Literal["teams", "slack", "json"]


def _variable(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        # A finding of a type does not repeat the value: whoever has the URL of a webhook can write to its channel.
        raise PydanticCustomError("variable_type", "expected a name")
    return name


class NotifySettings(Section):
    """Where a notification of a run is sent, and in which form."""

    url: Annotated[
        str,
        AfterValidator(_variable),
        Field(description="the name of an environment variable, such as TEAMS_WEBHOOK_URL, and set the URL in it"),
    ] = "IMAGEFACTORY_NOTIFY_URL"
    format: Annotated[Format, Field(description="teams, slack or json")] = "teams"
