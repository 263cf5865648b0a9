"""The Pulumi program: loads the configuration, reads Azure, plans, declares, exports."""

import asyncio
import os

import pulumi
from pulumi.runtime import config

from components.distribution import announce, current_stack, distribute, own_stack, stopped_by, with_doctor
from components.ending import finish
from components.lab_images import VhdSource
from components.quiet_sdk import run
from imagefactory.azure.observe import gather_facts
from imagefactory.configuration.loading import load_of_stack
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.errors import ConfigurationError, ImageFactoryError
from imagefactory.state.current_plan import current_plan
from imagefactory.state.pulumi_command import read_state


async def main() -> None:
    """Declare the plan. Raises `RunError` if there is none; then nothing is declared."""
    try:
        settings = parse_settings(config.CONFIG.get(), os.environ)
        configuration = load_of_stack(settings)
        facts, state = await asyncio.gather(gather_facts(settings, configuration), read_state(current_stack()))
    except ConfigurationError as error:
        raise stopped_by(error.diagnostics) from None
    except ImageFactoryError as error:
        raise pulumi.RunError(with_doctor(str(error))) from None
    plan = current_plan(configuration, facts, settings, state, own_stack())
    announce(plan, facts, settings, state)
    distribution = await distribute(plan, VhdSource.of(facts.factory, facts.container_url), settings, state)
    pulumi.export("labs", distribution.outputs)
    distribution.export_gallery()
    pulumi.export("omissions", [omission.to_dict() for omission in plan.omissions])
    await finish(plan, distribution, settings, state)


run(main)
