"""What the factory holds, as its readers are told of it.

Owns which settings that needs; reading is done by `imagefactory_azure.facts`, judging by `imagefactory.catalog_report`.
"""

from __future__ import annotations

from datetime import datetime

from imagefactory.catalog_report import CatalogReport, report_catalog
from imagefactory.configuration import load_configuration
from imagefactory.settings import Settings
from imagefactory_azure.facts import gather_facts


async def read(settings: Settings, now: datetime, *, with_labs: bool) -> CatalogReport:
    """The catalog at `now` (UTC), with the stack's labs if they are wanted.

    Raises `ImageFactoryError` where the factory lab, its storage or the stack's configuration cannot be read.
    """
    configuration = load_configuration(settings.configuration, settings.labs) if with_labs else None
    facts = await gather_facts(settings, configuration)
    labs = configuration.labs if configuration else None
    return report_catalog(facts.catalog, facts.factory.name, now, labs, facts.labs)
