"""The policy pack `policies`, in its own locked environment, run by the real engine as docs/policies.md shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.world import ROOT, World
from toolchain.checkout import Checkout
from toolchain.setup.cache import digest, install_once
from toolchain.setup.environment import pip_install

pytestmark = pytest.mark.engine

PACK = ROOT / "policies"
LOCK = PACK / "requirements.txt"
CONFIG = json.loads((PACK / "config.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def environment() -> Path:
    """The environment of the pack, as `pulumi install` makes it; once per lock."""
    local = Checkout.here().local

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [*pip_install(folder / "bin" / "python"), "--quiet", "--require-hashes", "-r", LOCK]
        subprocess.run(install, check=True)

    return install_once(local / "policies" / digest(LOCK, sys.version, str(local)), make)


def test_a_preview_fails_by_the_policies_that_a_configuration_switches_on(world: World, environment: Path) -> None:
    """The output names the image, its lab and the reason. Without configuration, or if all images comply, it passes."""
    lab = world.add_lab("web", "Win2016")
    (name,) = world.add_images(("Win2016/Datacenter.json", 5))
    pack = world.folder / "policies"
    shutil.copytree(PACK, pack, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
    (pack / ".venv").symlink_to(environment)
    file = world.folder / "policies.json"

    def preview(changed: Mapping[str, Mapping[str, object]]) -> tuple[int, str]:
        file.write_text(json.dumps({policy: {**CONFIG[policy], **values} for policy, values in changed.items()}))
        run = world.preview("--policy-pack", str(pack), "--policy-pack-config", str(file))
        return run.code, " ".join(run.output.split())

    code, shown = preview({})
    assert code == 0 and "imagefactory@v1.0.0" in shown, shown
    right = {"subscriptions": [lab.subscription.upper()]}
    code, shown = preview(
        {"allowed-subscriptions": right, "image-age": {"days": 3650}, "mandatory-tags": {"names": ["Digest"]}}
    )
    assert code == 0, shown
    code, shown = preview(
        {"allowed-subscriptions": {}, "image-age": {"days": 1}, "mandatory-tags": {"names": ["CostCenter"]}}
    )
    assert code != 0 and f"{name}: subscription {lab.subscription} is not allowed" in shown, shown
    assert "[advisory] image-age" in shown and f"{name}: was saved on " in shown, shown
    assert "[mandatory] mandatory-tags" in shown and f"{name}: lacks the tags CostCenter" in shown, shown
    assert world.held(lab) == {}
