"""The experiments, one module per subject; importing this package registers them in the order of the report."""

from contract.experiments import (  # isort: skip
    accounts,
    containers,
    custom_images,
    image_sources,
    names,
    lists,
    page_writes,
    page_ranges,
    leases,
    copies,
    disk_access,
    machines,
    galleries,
)

__all__ = [
    "accounts",
    "containers",
    "copies",
    "custom_images",
    "disk_access",
    "galleries",
    "image_sources",
    "leases",
    "lists",
    "machines",
    "names",
    "page_ranges",
    "page_writes",
]
