"""The browser, started for each module: while it runs, no other test of the process can have an event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.reports.browser.chromium import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The running browser."""
    with chromium() as running:
        yield running
