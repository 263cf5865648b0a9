"""What the tests of components share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture
def current_loop() -> Iterator[None]:
    """An event loop of the thread: Pulumi's mocks need one, and earlier asynchronous tests leave none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
