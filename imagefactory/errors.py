"""The exceptions of the image factory, one for each way of handling it.

* ImageFactoryError: its text is for the user
  * ConfigurationError: a file of the user, a setting or an option is wrong (exit code 2)
  * CloudError (`imagefactory.azure.core.errors`): Azure denied a request or did not respond
    * NoResponse (`imagefactory.azure.storage.small_requests`): it did not respond; its host may not exist
    * SaveLost (`imagefactory.azure.storage.save_records`): the lease on a save's record expired
  * CredentialError (`imagefactory.azure.core.credentials`): a variable for authentication is missing or invalid
  * CopyError (`imagefactory.copying.copier`): a copy cannot be finished
    * RelayLost: the relay of a copy is missing or cannot be read
  * StateError (`imagefactory.state.stack_state`): the state of the stack cannot be read or written
    * NoStack: the backend has no stack of that name
  * ManifestError (`imagefactory.images.ranges_manifest`): a ranges manifest is invalid

The exceptions that are caught where they are expected, and never reach the user, are next to the code that raises them:
JsonError, RangeRefused, SaveHeld, SourceChanged. Does not define messages: diagnostics do.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagefactory.diagnostics import Diagnostic
from imagefactory.plain_text import printable_lines, redacted


class ImageFactoryError(Exception):
    """An error that is reported to the user: its text, never a traceback.

    Its text contains no secret and no build agent command, even if it quotes the text of others.
    """

    def __str__(self) -> str:
        return printable_lines(redacted(super().__str__()))


class ConfigurationError(ImageFactoryError):
    """A mistake in labs.json, the golden images, the settings or the options.

    `diagnostics` has errors and warnings. Its text names the severity of each, so no reader adds a severity to it.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(diagnostic.text() for diagnostic in self.diagnostics))
