"""The catalog of the factory, read from Azure, as a report.

Does not match images with labs: `imagefactory.reports.catalog_report` does.
"""

from __future__ import annotations

from datetime import datetime

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.observe import read_checked_facts
from imagefactory.configuration.loading import find_image_paths, load_of_stack
from imagefactory.configuration.stack_settings import Settings
from imagefactory.reports.catalog_report import CatalogReport, report_catalog


async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
    """Return the catalog at `now` (UTC), on request with the stack's labs.

    Raises `ImageFactoryError` if the factory lab, its storage or the stack's configuration cannot be read.
    """
    configuration = load_of_stack(settings) if with_labs else None
    async with connect(settings) as (arm, accounts):
        with consequence("the catalog is not shown"):
            facts = await read_checked_facts(arm, accounts, settings, configuration)
    if configuration:
        labs = configuration.labs
        return report_catalog(facts.catalog, facts.factory.name, now, labs, facts.labs, facts.gallery)
    catalog = facts.catalog.in_case_of(find_image_paths(settings.configuration, settings.labs))
    return report_catalog(catalog, facts.factory.name, now)
