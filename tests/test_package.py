"""The wheel of the project, which works without the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from toolchain.checkout import Checkout

PAGE = """
from importlib.metadata import version
from datetime import datetime, timezone
import imagefactory
from imagefactory.images.catalog import Catalog
from imagefactory.reports.catalog_page import catalog_page
from imagefactory.reports.catalog_report import report_catalog
assert version("azure-image-factory") == imagefactory.__version__
print(imagefactory.__file__)
print(catalog_page(report_catalog(Catalog(()), "factory", datetime.now(timezone.utc))))
"""


def test_an_installed_wheel_renders_the_catalog_page(tmp_path: Path) -> None:
    """The wheel contains template, style and script, and has the version of the code."""
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    root = Checkout.here().root
    for name in ("pyproject.toml", "requirements.in", "requirements-otel.in", "LICENSE"):
        shutil.copy(root / name, source)
    shutil.copytree(root / "imagefactory", source / "imagefactory", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(installed), str(source)], check=True)
    run = subprocess.run([sys.executable, "-c", PAGE], cwd=installed, capture_output=True, text=True, check=True)
    file, _, page = run.stdout.partition("\n")
    assert Path(file).is_relative_to(installed)
    assert all(part in page for part in ("<!DOCTYPE html>", "color-scheme: light dark", "aria-sort"))
