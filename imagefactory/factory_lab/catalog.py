"""What the factory holds, as its readers are told of it.

Owns which settings that needs; reading is done by `imagefactory.azure.observe`, judging by
`imagefactory.reports.catalog_report`.
"""

from __future__ import annotations

from datetime import datetime

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.observe import read_facts
from imagefactory.configuration.loading import load_configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.reports.catalog_report import CatalogReport, report_catalog


async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
    """The catalog at `now` (UTC), with the stack's labs if they are wanted.

    Raises `ImageFactoryError` where the factory lab, its storage or the stack's configuration cannot be read.
    """
    configuration = load_configuration(settings.configuration, settings.labs) if with_labs else None
    async with connect(settings) as (arm, accounts):
        with consequence("the catalog is not shown"):
            facts = await read_facts(arm, accounts, settings, configuration)
    labs = configuration.labs if configuration else None
    return report_catalog(facts.catalog, facts.factory.name, now, labs, facts.labs)
