"""The benchmarks run and print their results. Does not compare times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.azcopy import comparison, program
from benchmarks.copies import notice_delays, old_schedule
from benchmarks.ranges import least_requests
from benchmarks.sandbox import BenchmarkError, Sandbox
from imagefactory.images.ranges import PIECE_BYTES, Range
from localcloud.client import CloudClient
from tests.conftest import SHORT_LIFE
from toolchain.checkout import Checkout

pytestmark = pytest.mark.engine


@pytest.mark.timeout(400)
def test_the_command_measures_every_part_and_prints_json() -> None:
    """With the smallest sizes; figures that do not depend on time are correct."""
    small = "--lab-images=2 --rounds=1 --copies=2 --copy-seconds=2 --labs=2 --image-paths=2 --small --json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *small.split()],
        cwd=Checkout.here().root,
        env={**os.environ, **SHORT_LIFE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [(row["step"], row["lab_images"]) for row in found["registration"]] == [
        ("first up", 2),
        ("second preview", 2),
    ]
    assert all(row["ratio"] > 0 and len(row["ratios"]) == 1 for row in found["registration"])
    (copies,) = found["copies"]
    assert copies["copies"] == 2 and 1 <= copies["most_in_flight"] <= 2
    assert copies["old_schedule_seconds"] == 45
    kinds = {row["measured"] for row in found["ranges"]}
    assert kinds == {"least", "limit", "service", "cpu per GiB", "memory"}
    least = {row["disk"]: row for row in found["ranges"] if row["measured"] == "least"}
    assert least["dense, first copy"]["moved_ratio"] == least["dense, first copy"]["writes_ratio"] == 1
    assert least["fragmented, first copy"]["moved_ratio"] == 1 < least["fragmented, first copy"]["writes_ratio"]
    assert 1 < least["files, first copy"]["moved_ratio"] < 1.2, "short gaps are bridged"
    assert all(row["mib"] > 0 for row in found["ranges"] if row["measured"] == "limit")

    custom, gallery = found["delivery"]
    assert (custom["resources"], gallery["resources"]) == (17, 13) and gallery["ratio_first_up"] > 0
    assert custom["storage_requests"] > gallery["storage_requests"] > 0

    assert all(row["kib_received_per_digest"] > 0 for row in found["first-copy"])

    assert [row["requests"] for row in found["memory"]] == [8]


def test_the_least_requests_are_the_fewest_ranges_that_cover_all_allocated_bytes() -> None:
    """A range may start anywhere and contain unallocated bytes."""
    allocated = [Range(0, 512), Range(PIECE_BYTES - 512, 1024), Range(3 * PIECE_BYTES, PIECE_BYTES)]
    assert least_requests(allocated) == 3 and least_requests([]) == 0


@pytest.mark.parametrize(
    ("copies", "copy_seconds", "seconds"), [(200, 10, 450), (201, 10, 495), (20, 46, 90), (1, 45, 45)]
)
def test_the_old_schedule_is_20_at_a_time_polled_every_45_seconds(
    copies: int, copy_seconds: float, seconds: float
) -> None:
    """A group of 20 ends at the first poll that finds all of them finished."""
    assert old_schedule(copies, copy_seconds) == seconds


def test_a_notice_delay_is_the_time_from_the_end_of_a_copy_to_the_last_poll() -> None:
    """Polls of a running copy, calls for other blobs and calls with a query do not count."""
    blob = "/account/imagefactory-staging/lab/a.vhd"
    calls = [("PUT", blob, 202, 100.0), ("PUT", f"{blob}?comp=metadata", 202, 101.0), ("HEAD", blob, 200, 109.0)]
    calls += [("HEAD", blob, 200, 110.5), ("HEAD", "/account/imagefactoryvhds/a.vhd", 200, 112.0)]
    journal = [{"service": "blob", "method": m, "path": p, "status": s, "at": at} for m, p, s, at in calls]
    assert notice_delays(journal, 10.0) == [0.5]


@pytest.mark.parametrize(("runs_here", "reason"), [(False, "no package"), (True, "libglib-2.0.so.0: cannot open")])
def test_where_azcopy_does_not_run_one_line_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs_here: bool, reason: str
) -> None:
    """Before anything is copied: another system than its package is for, or one without a library that it needs."""
    binary = tmp_path / "azcopy"
    binary.write_text("#!/bin/sh\necho libglib-2.0.so.0: cannot open shared object file >&2\nexit 127\n")
    binary.chmod(0o755)
    monkeypatch.setattr(program, "_installed", lambda: binary)
    monkeypatch.setattr(comparison, "RUNS_HERE", runs_here)
    nothing = Sandbox(CloudClient("http://127.0.0.1:9"), {}, tmp_path)
    with pytest.raises(BenchmarkError, match=reason) as caught:
        comparison.run_beside_azcopy(nothing, small=True)
    assert "\n" not in str(caught.value) and "nothing is compared with it" in str(caught.value)
