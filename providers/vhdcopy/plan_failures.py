"""`PlanFailures`: a resource that fails, so that a run that carried out less than its plan ends with an error.

Does nothing else. It is never in the state. After a program that raises, the engine deletes nothing; after one with a
resource that failed it goes on where `--continue-on-error` is given (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from imagefactory.errors import ImageFactoryError
from providers.vhdcopy.progress import Row
from providers.vhdcopy.resource import Properties, Text
from providers.vhdcopy.services import Services


@dataclass(frozen=True, slots=True)
class PlanFailures:
    """Handles resources of type `vhdcopy:index:PlanFailures`. Input: `summary`, the text of the error."""

    texts: tuple[Text, ...] = (Text("summary"),)
    numbers: tuple[str, ...] = ()
    replaces: bool = False

    def diagnostics(self, inputs: Properties) -> Mapping[str, str]:
        """Nothing beyond the presence of the input."""
        return {}

    def planned(self, inputs: Properties) -> NoReturn:
        """Fail, so that a preview shows it. Raises `ImageFactoryError`."""
        raise ImageFactoryError(str(inputs["summary"]))

    async def create(self, services: Services, inputs: Properties, row: Row) -> NoReturn:
        """Fail. Raises `ImageFactoryError`."""
        self.planned(inputs)

    async def read(self, services: Services, inputs: Properties) -> bool:
        """There never is one."""
        return False

    async def delete(self, services: Services, inputs: Properties) -> None:
        """There never is one."""
