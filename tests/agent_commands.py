"""Finds the lines that a build agent would run as commands.

Has its own rules, those of `imagefactory.plain_text` and a few more, so that the tests do not depend on the product.
"""

from __future__ import annotations

import re
import unicodedata

SET_VARIABLE = "##vso[task.setvariable variable=BASH_ENV]evil"


def agent_commands(text: str) -> list[str]:
    """Return the lines of `text` that an agent would run; a single `\\r` ends a line, as in .NET."""
    return [line for line in re.split("[\r\n]", text) if _is_command(line)]


def _is_command(line: str) -> bool:
    seen = "".join(char for char in line if unicodedata.category(char) not in {"Cc", "Cf", "Mn", "Me"})
    return bool(re.search(r"##(vso)?\[", seen, re.IGNORECASE)) or seen.lstrip().startswith("::")
