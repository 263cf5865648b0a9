"""The one error that ends a verb of dev.py with a message instead of a traceback."""

from __future__ import annotations


class SetupFault(Exception):
    """A step that could not be had: what, why, and what to do; shown as it is."""

    def __init__(self, subject: str, fact: str, remedy: str) -> None:
        super().__init__(f"{subject}: {fact}. {remedy}")
