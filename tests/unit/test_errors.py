"""The exceptions of the package: one tree, documented in one place."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import imagefactory
from imagefactory import errors
from imagefactory.errors import ImageFactoryError


def tree(error: type[Exception]) -> Iterator[tuple[str, str]]:
    """Each exception that is derived from `error`, with its base."""
    for derived in error.__subclasses__():
        if derived.__module__.startswith("imagefactory."):
            yield error.__name__, derived.__name__
            yield from tree(derived)


def drawn(text: str) -> Iterator[tuple[str, str]]:
    """Each item of a nested list, with the item above it."""
    above: list[str] = []
    for indent, name in re.findall(r"^( *)\* (\w+)", text, re.MULTILINE):
        above[len(indent) // 2 :] = [name]
        if indent:
            yield above[-2], name


def test_the_docstring_draws_the_tree_of_all_exceptions_for_users() -> None:
    """Each exception is there beneath its base."""
    for module in pkgutil.walk_packages(imagefactory.__path__, "imagefactory."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert sorted(drawn(errors.__doc__ or "")) == sorted(tree(ImageFactoryError))
