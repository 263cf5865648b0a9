"""`PlanFailures`: a resource that fails, so that a run that could not carry out all of its plan exits with an error.

Does nothing else, and is never in the state. If a program raises, the engine deletes nothing; if a resource fails, it
continues with `--continue-on-error` (docs/adr/0015).
"""

from __future__ import annotations

from typing import NoReturn

from imagefactory.errors import ImageFactoryError
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import Inputs, Resource, Text
from providers.vhdcopy.services import Services


class PlanFailuresInputs(Inputs):
    """The message of the error."""

    summary: Text


class PlanFailures(Resource[PlanFailuresInputs]):
    """Handles resources of type `vhdcopy:index:PlanFailures`; fails at preview too."""

    inputs = PlanFailuresInputs

    def planned(self, inputs: PlanFailuresInputs) -> NoReturn:
        """See `Resource`."""
        raise ImageFactoryError(inputs.summary)

    async def create(self, services: Services, inputs: PlanFailuresInputs, row: Row) -> NoReturn:
        """See `Resource`."""
        self.planned(inputs)
