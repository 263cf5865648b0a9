"""What a build agent would run of a text, by the rules that `imagefactory.plain_text` names and a little more.

Owns those rules for the tests, written apart from the product's own.
"""

from __future__ import annotations

import re
import unicodedata

SET_VARIABLE = "##vso[task.setvariable variable=BASH_ENV]evil"


def agent_commands(text: str) -> list[str]:
    """The lines of `text` that an agent would take for commands; a `\\r` alone ends a line, as .NET reads it."""
    return [line for line in re.split("[\r\n]", text) if _is_command(line)]


def _is_command(line: str) -> bool:
    seen = "".join(char for char in line if unicodedata.category(char) not in {"Cc", "Cf", "Mn", "Me"})
    return bool(re.search(r"##(vso)?\[", seen, re.IGNORECASE)) or seen.lstrip().startswith("::")
