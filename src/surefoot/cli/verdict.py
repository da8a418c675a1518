"""The verdict at the end of a command.  run + problem -> a line and what to do about it, or the same as JSON."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from surefoot.cli import options

if TYPE_CHECKING:
    from surefoot.diagnosis.diagnosis import Diagnosis
    from surefoot.problem import Problem
    from surefoot.run import Run

STORE = "runs.sqlite"
SHORT = 10.0  # s of wall time: a run that took less is measured on unasked; that takes a few seconds more


def of_run(run: Run, problem: Problem, quiet: bool = False) -> Diagnosis | None:
    """What is happening to a run that has just ended; None, with a note, where that cannot be said.

    Whatever goes wrong in here, the run is there and is to be told: only a note says so.
    """
    from surefoot.diagnosis.diagnose import diagnose

    later = "; `surefoot diagnose` does it later" if "run_id" in run.config else ""
    try:
        with options.told(quiet=True), _shown(quiet):
            return diagnose(run, problem if measured(run) else None)
    except KeyboardInterrupt:
        typer.echo(f"note: the diagnosis was interrupted{later}.", err=True)
    except Exception as error:  # a bug in here must not cost anybody a run
        typer.echo(f"note: no diagnosis could be made: {error or type(error).__name__}", err=True)
    return None


def measured(run: Run) -> bool:
    """Whether the diagnosis measures on the problem: the run was short, and nobody is in a hurry to get out."""
    return run.ended != "interrupted" and (not len(run.trace) or bool(run.trace["seconds"][-1] < SHORT))


def tell(found: Diagnosis, run: Run, store: str) -> None:
    """Prints the verdict and what to do."""
    typer.echo(found.headline)
    if found.remedy is not None:
        typer.echo(f"What to do: {found.remedy.text}")
    tell_start(found)
    if not measured(run) and "run_id" in run.config and run.config.get("recipe"):
        typer.echo(f"From the trace alone; surefoot diagnose {run.config['run_id']}{at_store(store)} measures.")


def tell_start(found: Diagnosis) -> None:
    """The weights to begin from, where that is the remedy and a person would read them."""
    remedy = as_json(found)["remedy"]
    if remedy is not None and remedy["setting"] == "start" and remedy["value"]:
        typer.echo(f"The remedy's weights: {weights(remedy['value'])}")


def as_json(found: Diagnosis) -> dict[str, Any]:
    """All of it but the losses of the forks, as plain values."""
    from surefoot.diagnosis.evidence import plain

    evidence = [
        {"quantity": each.quantity, "value": each.value, "threshold": each.threshold, "source": each.source}
        for each in found.evidence
    ]
    return {
        "verdict": found.verdict,
        "ill": found.ill,
        "confidence": found.confidence,
        "told": found.told,
        "evidence": evidence,
        "remedy": plain(found.remedy),
        "basis": found.basis,
        "gradients": found.gradients,
    }


def weights(values: Mapping[str, Any]) -> str:
    """A few weights in a line."""
    return ", ".join(f"{name} {_number(value)}" for name, value in values.items())


def at_store(store: str) -> str:
    """The option that names the store, where it is not the usual one."""
    return "" if store == STORE else f" --store {os.fspath(store)}"


@contextlib.contextmanager
def _shown(quiet: bool) -> Iterator[None]:
    """Meanwhile, a terminal says what is going on."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status("diagnosing (Ctrl-C leaves it out)"):
        yield


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(_number(item) for item in value)
