"""The file of an HTML page: checks its path before the work, and writes it atomically after it.

Does not create the page: `imagefactory.reports.catalog_page` does.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError


def check_page_file(file: Path) -> None:
    """Raise `ImageFactoryError` if the file cannot be written."""
    try:
        folder = file.resolve().parent
        if not folder.is_dir():
            raise _no_page(file, f"folder {folder} does not exist", "Create it, or pass another file")
        if file.exists() and not file.is_file():
            raise _no_page(file, "exists and is not a file", "Pass another file")
    except (OSError, RuntimeError) as problem:  # a name that is too long, a loop of links
        raise _no_page(file, f"is not a valid file name ({_reason(problem)})", "Pass another file") from problem


def write_page(file: Path, page: str) -> None:
    """Write the file atomically: readers, also after a kill, see the old page or the new one."""
    place = file.resolve()
    unfinished = place.with_name(f".imagefactory-{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as stream:
            stream.write(page.encode())
        unfinished.replace(place)
    except OSError as problem:
        fact, remedy = f"cannot be written ({_reason(problem)})", "Check permissions and free disk space"
        raise _no_page(file, fact, remedy) from problem
    finally:
        unfinished.unlink(missing_ok=True)


def _reason(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) else None) or type(problem).__name__


def _no_page(file: Path, fact: str, remedy: str) -> ImageFactoryError:
    return ImageFactoryError(error(f"page {file}", fact, "no page is written", remedy).text())
