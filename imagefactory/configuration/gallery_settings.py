"""The settings of the Compute Gallery of a stack (`imagefactory:gallery`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imagefactory.configuration.pydantic_findings import ResourceGroup, Section, SubscriptionId


class GallerySettings(Section):
    """The Compute Gallery that delivers images: one that exists, by its id, or one that the stack creates."""

    id: Annotated[
        str | None,
        Field(
            pattern=r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/galleries/[^/]+$",
            description="the ARM id of a gallery",
            examples=[
                "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/images"
                "/providers/Microsoft.Compute/galleries/images"
            ],
        ),
    ] = None
    name: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$",
            description="the name of a gallery: up to 80 letters, digits, underscores and full stops",
            examples=["images"],
        ),
    ] = None
    resource_group: ResourceGroup = None
    subscription_id: SubscriptionId | None = None
    """None: the factory's."""
    region: Annotated[
        str | None, Field(pattern=r"^[a-z0-9]+$", description="a region of Azure", examples=["westeurope"])
    ] = None
    """Region of a gallery that is created; None: the factory's."""
    replicas: Annotated[
        int, Field(ge=1, le=100, description="how many replicas of each version a region has, 1 to 100")
    ] = 1
    storage_type: Annotated[
        Literal["Standard_LRS", "Standard_ZRS", "Premium_LRS"],
        Field(description="Standard_LRS, Standard_ZRS or Premium_LRS"),
    ] = "Standard_LRS"
    """Storage account type of the replicas."""
    replica_price: Annotated[
        float | None, Field(ge=0, strict=False, description="a price per GiB and month", examples=[0.05])
    ] = None
    """What a GiB of a replica costs a month, for the plan's cost line, in any currency; None: it names no cost."""
    end_of_life_days: Annotated[int | None, Field(ge=1, description="a number of days, at least 1", examples=[180])] = (
        None
    )
    """Days after the time of saving that versions name as the end of their life; None: they name none."""
    publisher: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.-]{0,63}[A-Za-z0-9_-]$",
            description="a name of up to 64 letters, digits, _ . and -, without a full stop at its end",
        ),
    ] = "ImageFactory"
    """The publisher of the definitions that are created."""

    @model_validator(mode="after")
    def _named_once(self) -> GallerySettings:
        """Require an id, or a name with a resource group."""
        if (self.id is None) == (self.name is None or self.resource_group is None):
            raise ValueError("names no gallery, or two")
        if self.id and (self.name or self.resource_group or self.subscription_id or self.region):
            raise ValueError("has both the id of a gallery and the place of one to create")
        return self
