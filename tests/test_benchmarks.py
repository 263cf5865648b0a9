"""The benchmarks run and print their results. Does not compare times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import Part
from benchmarks.azcopy import comparison, program
from benchmarks.copies import notice_delays, old_schedule
from benchmarks.processes import Processes
from benchmarks.ranges import least_requests
from benchmarks.sandbox import BenchmarkError, Sandbox
from benchmarks.scale import fewest_left, most_within
from imagefactory.images.ranges import PIECE_BYTES, Range
from localcloud.client import CloudClient
from tests.benchmark_runs import measured

pytestmark = pytest.mark.engine


@pytest.mark.timeout(600)
def test_the_command_measures_every_part_and_prints_json(python: Path) -> None:
    """With the smallest sizes, all but the part that runs AzCopy; figures that do not depend on time are correct.

    Program and plugins run in the interpreter that starts fast: what is read of their processes is not their use."""
    small = "--lab-images=2 --rounds=1 --copies=2 --copy-seconds=2 --labs=2 --image-paths=2 --small"
    small += " --scale-labs=3 --scale-images=1 --subscriptions=2 --stacks=2"
    parts = [f"--part={each.value}" for each in Part if each is not Part.azcopy]  # tests/clients
    found = measured(*parts, *small.split(), python=python)
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
    assert all(row["moved_before"] > 0 and 1 <= row["moved_ratio"] < 1.5 for row in found["kills"])

    assert [row["requests"] for row in found["memory"]] == [8]
    one, divided = "1 stack, 2 subscriptions", "2 stacks, 2 subscriptions"
    images = [(row["measured"], row["step"], row["lab_images"]) for row in found["scale"]]
    steps = [("first up", 3), ("refresh", 3), ("one image added", 6), ("one lab removed", 4)]
    assert images == [(one, *each) for each in steps] + [(divided, "first up", 3)]
    requests = {(row["measured"], row["step"]): row["resource_manager_requests"] for row in found["scale"]}
    assert [requests[one, step]["write"] for step, _ in steps] == [3, 0, 3, 0]
    assert requests[one, "one lab removed"]["delete"] == 2 and requests[divided, "first up"]["write"] == 3
    assert all("engine" in row["peak_mib"] for row in found["scale"])
    creating = [row["peak_mib"] for row in found["scale"] if row["resource_manager_requests"]["write"]]
    assert creating and all("azure-native" in peaks for peaks in creating), (
        "where it works longer than between two looks"
    )
    assert all(row["state_bytes"] > 0 and row["together_mib"] > 0 for row in found["scale"])


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


@pytest.mark.parametrize(("times", "most"), [([], 0), ([0, 59.9], 2), ([0, 60], 1), ([0, 30, 59, 60, 89, 90, 149], 4)])
def test_the_peak_of_a_minute_is_the_fullest_of_all_spans_of_60_seconds(times: list[float], most: int) -> None:
    """Not of calendar minutes."""
    assert most_within(times, 60) == most


@pytest.mark.parametrize(
    ("times", "left"), [([], 10), ([0] * 10, 0), ([0] * 12, -2), ([0] * 10 + [5] * 6, -1), ([0, 100, 100], 8)]
)
def test_a_bucket_that_is_empty_when_a_call_comes_has_less_than_nothing_left(times: list[float], left: float) -> None:
    """It is full at first, gets its tokens back at its rate, and never holds more than its size."""
    assert fewest_left(times, 10, 1) == left


def test_what_an_ended_process_used_stays_that_of_its_kind() -> None:
    """A process that nobody has waited for yet has no command line, but its processor time is still known."""
    child = "import sys; sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    parent = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}, "--plugin-version"], stdin=subprocess.PIPE)
sys.stdin.readline()
child.stdin.close()
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
print(flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as root:
        assert root.stdin and root.stdout
        root.stdout.readline()
        processes = Processes(root.pid)
        processes.look()
        running = processes.by_kind(0)["azure-native"]
        root.stdin.write("\n")
        root.stdin.flush()
        root.stdout.readline()
        processes.look()
        root.stdin.close()
    assert processes.by_kind(0)["azure-native"] >= running > 0
    assert len(processes.peaks_mib()["azure-native"]) == 1 and processes.together_mib > 0
