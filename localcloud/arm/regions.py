"""The public regions of Azure: Compute takes both forms of a name and shows `westeurope` for a resource's own location,
`West Europe` for the regions that a gallery replicates to (recorded).

The list is that of `az account list-locations` (regions with a physical location); a region is only a name here.
"""

from __future__ import annotations

from localcloud.arm.errors import ArmError

_SHOWN = (
    "Australia Central,Australia Central 2,Australia East,Australia Southeast,Austria East,Belgium Central,"
    "Brazil South,Brazil Southeast,Canada Central,Canada East,Central India,Central US,Chile Central,Denmark East,"
    "East Asia,East US,East US 2,France Central,France South,Germany North,Germany West Central,Indonesia Central,"
    "Israel Central,Italy North,Japan East,Japan West,Jio India Central,Jio India West,Korea Central,Korea South,"
    "Malaysia West,Mexico Central,New Zealand North,North Central US,North Europe,Norway East,Norway West,"
    "Poland Central,Qatar Central,South Africa North,South Africa West,South Central US,South India,Southeast Asia,"
    "Spain Central,Sweden Central,Sweden South,Switzerland North,Switzerland West,UAE Central,UAE North,UK South,"
    "UK West,West Central US,West Europe,West India,West US,West US 2,West US 3"
)


def short(name: str) -> str:
    """Return a region's name as in `location`, in lower case without spaces."""
    return name.replace(" ", "").lower()


SHOWN = {short(each): each for each in _SHOWN.split(",")}
"""The name that is shown, by the short one."""


def shown(name: str) -> str:
    """Return a region's name as it is shown; an unknown one is as given."""
    return SHOWN.get(short(name), name)


def location_of(body: dict[str, object], kind: str) -> str:
    """Return the short name of the location in the body of a PUT. Raises ArmError (400): missing, or not of Azure."""
    given = body.get("location")
    if not isinstance(given, str) or not given:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if short(given) not in SHOWN:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{given}' is not available for resource type '{kind}'. List of available regions "
            f"for the resource type is '{','.join(SHOWN)}'.",
        )
    return short(given)
