"""The command `python -m contract`, which `dev.py contract` runs: shows the plan, asks, runs, and shows differences."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import contract.experiments  # noqa: F401 - registers them
from contract.bench import Bench
from contract.differences import differences
from contract.embedded import embedded
from contract.leftovers import Found, find
from contract.place import Place, find_place
from contract.registry import EXPERIMENTS, Experiment
from contract.run import run
from contract.wire import ContractError, Tokens, Wire
from imagefactory.azure.core.clouds import cloud_of
from imagefactory.cli.stack import stack_settings
from imagefactory.cli.terminal.output import count, show_document, show_table, to_stderr
from imagefactory.errors import ImageFactoryError
from toolchain.contract_options import add_options
from toolchain.errors import SetupError

EXPECTED = Path(__file__).with_name("expected.json")
INTERRUPTED = 128 + signal.SIGINT
_NOTHING = "nothing was changed"


def main(arguments: Sequence[str]) -> int:
    """Run the command. Return 0 if all is as expected, 1 after a difference, a failure or if something is left, 2 for
    wrong usage, and 130 after an interruption."""
    parser = argparse.ArgumentParser(prog="dev.py contract")
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.azure and not (options.stack and options.lab):
        parser.error("--azure needs --stack and --lab")
    if not options.azure and (options.stack or options.lab):
        parser.error("--stack and --lab need --azure")
    if options.write_expected and (options.azure or options.only):
        parser.error("--write-expected needs all experiments on the embedded cloud, without --azure and --only")
    chosen = [each for each in EXPERIMENTS.values() if _matches(each.name, options.only)]
    if not chosen:
        parser.error(f"--only: no experiment has it in its name; {_NOTHING}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.azure:
            return _on_azure(options, chosen)
        with embedded() as (place, wire, _):
            return _perform(options, place, wire, chosen)
    except (ContractError, ImageFactoryError, SetupError) as error:
        to_stderr(f"contract: {error}")
        return 2
    except KeyboardInterrupt:
        to_stderr("contract: interrupted. What was created is deleted, or the lines above name it.")
        return INTERRUPTED


def _matches(name: str, only: Iterable[str] | None) -> bool:
    return not only or any(each.lower() in name.lower() for each in only)


def _on_azure(options: argparse.Namespace, chosen: Sequence[Experiment]) -> int:
    settings = stack_settings(options.stack)
    wire = Wire(Tokens(cloud_of(settings)))
    place = find_place(wire, settings, options.lab, options.subscription, options.resource_group)
    found = find(Bench(place, wire, "00000000"))
    asks = sys.stdin.isatty() and not options.json
    if not asks and not options.yes:
        reason = "--json cannot prompt" if options.json else "there is no terminal to ask at"
        raise ContractError(f"{reason}; {_NOTHING}. Pass --yes to run without a prompt.")
    _show_plan(place, chosen, found, to_stderr_only=options.json)
    if not _confirmed(options, place, found, asks=asks):
        return 2
    if not options.yes and _asked("Run them? [y/N] ").lower() not in ("y", "yes"):
        to_stderr(f"Not run; {_NOTHING}.")
        return 0
    return _perform(options, place, wire, chosen)


def _show_plan(place: Place, chosen: Sequence[Experiment], found: Found, *, to_stderr_only: bool) -> None:
    minutes, cents = sum(one.minutes for one in chosen), sum(one.cents for one in chosen)
    to_stderr(f"Lab: {place.lab_id}")
    to_stderr(f"Storage account: {place.account_id}")
    to_stderr("Everything that is created has a name with contract-<run>, and is deleted at the end.")
    for each in found.own:
        to_stderr(f"Left by an earlier run, will be deleted: {each}")
    if not to_stderr_only:
        rows = [(one.name, one.creates, str(one.minutes), f"{one.cents / 100:.2f}") for one in chosen]
        show_table("What will be done", ("Experiment", "Creates", "Minutes", "US$"), rows, right=("Minutes", "US$"))
    to_stderr(f"{count(len(chosen), 'experiment')}, about {minutes} min, about US$ {cents / 100:.2f} and the requests.")


def _confirmed(options: argparse.Namespace, place: Place, found: Found, *, asks: bool) -> bool:
    """Return whether the lab may be used: it has nothing of others, or its name was given once more."""
    if not found.others:
        return True
    named, more = ", ".join(found.others[:5]), len(found.others) - 5
    fact = f"lab {place.lab}: has images or VMs that no run created ({named}{f' and {more} more' if more > 0 else ''})"
    given = options.confirm_lab
    if given is None and asks:
        to_stderr(f"{fact}; no run deletes them.")
        given = _asked("Type the name of the lab to use it anyway: ")
    if given is not None and given.lower() == place.lab.lower():
        return True
    to_stderr(f"contract: {fact}; {_NOTHING}. Name another lab, or pass --confirm-lab {place.lab}.")
    return False


def _asked(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return ""


def _perform(options: argparse.Namespace, place: Place, wire: Wire, chosen: Sequence[Experiment]) -> int:
    report, left = run(place, wire, chosen, to_stderr)
    if options.write_expected:
        kept = {name: report[name] for name in ("apiVersions", "experiments")}
        EXPECTED.write_text(_text(kept), encoding="utf-8")
        to_stderr(f"Wrote {EXPECTED.name}.")
    report["differences"] = differences(json.loads(EXPECTED.read_text(encoding="utf-8")), report)
    output = options.output or (Path("contract.json") if options.azure else None)
    if output is not None:
        output.write_text(_text(report), encoding="utf-8")
        to_stderr(f"Wrote {output}.")
    if options.json:
        show_document(report)
    else:
        show_report(report)
    failed = any("failed" in each for each in report["experiments"].values())
    return int(bool(report["differences"] or failed or left))


def show_report(report: dict[str, Any]) -> None:
    """Print what was observed, and the differences."""
    rows = []
    for name, each in report["experiments"].items():
        differing = sum(one["experiment"] == name for one in report["differences"])
        result = "not modelled" if "notModelled" in each else "failed" if "failed" in each else "observed"
        note = each.get("notModelled") or each.get("failed") or f"{len(each['observations'])} answers"
        rows.append((name, result, note, str(differing) if differing else ""))
    show_table(f"Contract, cloud {report['cloud']}", ("Experiment", "Result", "", "Differences"), rows)
    if not report["differences"]:
        print("No difference from contract/expected.json.")
        return
    columns = ("Experiment", "Observation", "Where", "Expected", "Source", "Observed")
    told = [
        (
            each["experiment"],
            each["observation"],
            each["where"],
            _short(each["expected"]),
            each["expectedSource"] or "",
            _short(each["observed"]),
        )
        for each in report["differences"]
    ]
    show_table("Differences from contract/expected.json", columns, told)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _text(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
