"""A world in which `imagefactory doctor` runs: its checks, and the requests that it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.new_stack import ensure_stack
from tests.factory_lab.factory_world import Ended, FactoryWorld


@dataclass(frozen=True)
class Examined:
    """What `imagefactory doctor --json` found."""

    ended: Ended

    @property
    def checks(self) -> list[dict[str, Any]]:
        """All checks, as printed."""
        return list(self.ended.document["checks"])

    def not_ok(self) -> list[tuple[str, str, str]]:
        """Subject, check and result of each check that is not ok."""
        return [(one["subject"], one["check"], one["result"]) for one in self.checks if one["result"] != "ok"]

    def check(self, subject: str, name: str) -> dict[str, Any]:
        """The one check of that subject and name."""
        (found,) = (one for one in self.checks if (one["subject"], one["check"]) == (subject, name))
        return found


class DoctorWorld(FactoryWorld):
    """A world with a stack that exists."""

    def doctor(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Examined:
        """Run `imagefactory doctor --json`."""
        self.write_configuration()
        ensure_stack(self.folder, self.stack, self.environment)
        found = Examined(self.command("doctor", "--json", *arguments, variables=variables))
        assert found.ended.code == int(any(one["result"] == "failure" for one in found.checks)), found.ended.stderr
        return found

    @property
    def web(self) -> str:
        """The label of the lab."""
        return self.label("web")

    def label(self, key: str) -> str:
        """The label of a lab in reports."""
        from imagefactory.configuration.labs_file import LabKey

        lab = self.labs[key]
        return LabKey.of(lab.subscription, lab.name, None).label()

    def written(self) -> list[str]:
        """The requests that were not mere reading, since the journal was cleared."""
        calls = (call for call in self.cloud.calls() if call["method"] not in {"GET", "HEAD"})
        return [f"{call['method']} {call['path'].partition('?')[0]}" for call in calls]

    def lock(self) -> Path:
        """Lock the state, as another run does."""
        locks = self.folder / "stacks" / ".pulumi" / "locks" / "organization" / "imagefactory" / self.stack
        locks.mkdir(parents=True, exist_ok=True)
        holder = {"pid": 7, "username": "ann", "hostname": "agent", "timestamp": "2026-11-27T10:00:00Z"}
        (locks / "1.json").write_text(json.dumps(holder), "utf-8")
        return locks
