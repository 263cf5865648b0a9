"""The errors of the stand-in's calls, in the genuine plugin's words."""

from __future__ import annotations


class AzureError(Exception):
    """A rejected or failed call. `status` 0: no response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UnfinishedError(AzureError):
    """A PUT was accepted, but its operation failed or was abandoned: the resource may exist."""
