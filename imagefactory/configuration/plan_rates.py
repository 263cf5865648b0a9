"""The rates with which a plan estimates duration and cost (`imagefactory:rates`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from imagefactory.configuration.pydantic_findings import Section

_PRICE = "a price per GiB, in any currency"


class Rates(Section):
    """How fast copies are, and what bytes cost. The prices are assumed: those of an account depend on its contract."""

    copy_rate: Annotated[
        float, Field(gt=0, strict=False, alias="copyMiBPerSecond", description="MiB per second of all copies together")
    ] = 60
    """Azure's target for one page blob (learn.microsoft.com, "Scalability and performance targets for Blob storage",
    read on 28 November 2026), so the estimate is high if several VHDs are copied at a time."""
    egress: Annotated[float, Field(ge=0, strict=False, alias="egressPerGiB", description=_PRICE)] = 0.02
    """Traffic from one region to another."""
    storage: Annotated[
        float, Field(ge=0, strict=False, alias="storagePerGiBMonth", description=f"{_PRICE}, and month")
    ] = 0.05
    """What a custom image, or a replica of a gallery version, occupies."""
