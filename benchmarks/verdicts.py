"""How often is a diagnosis right?  descents whose state is known -> accuracy, false alarms and what the remedies are worth, into docs/verdicts.md.

Every descent is made, then diagnosed twice: from its trace alone, and with its problem. ::

    python benchmarks/verdicts.py                         # all of them, into the docs and verdicts/results.json
    python benchmarks/verdicts.py --split calibration     # one half, printed
    python benchmarks/verdicts.py --only digits --wrong   # some, with what was wrong about them
    python benchmarks/verdicts.py --trace                 # from the trace alone: fast
    python benchmarks/verdicts.py --engine ray            # the cases on a cluster; the same answers
    python benchmarks/verdicts.py --truth                 # the labels of the ladders anew (half an hour)
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

HOME = Path(__file__).parent / "verdicts"
sys.path[:0] = [str(HOME), str(HOME.parent)]

import cases  # noqa: E402
import on_ray  # noqa: E402
import truth  # noqa: E402

from surefoot import Problem, Run, descend  # noqa: E402
from surefoot.diagnosis.verdicts import HEALTHY, VERDICTS  # noqa: E402

DOCS = Path(__file__).parents[1] / "docs" / "verdicts.md"
RESULTS = HOME / "results.json"
APPLIED = ("lr", "schedule", "clip_norm", "batch_size", "optimizer", "steps")  # remedies that are one setting of the same descent
MOST_STEPS = 100_000  # a remedy that asks for more is not followed


# ---- one descent


def judged(job: tuple[str, bool]) -> dict[str, Any]:
    """One descent, made and diagnosed."""
    from surefoot.diagnosis.diagnose import diagnose

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name, trace_only = job
    case = cases.named(name)
    began = time.perf_counter()
    run = case.run()
    took = time.perf_counter() - began
    alone, _, _ = asked(lambda: diagnose(run.trace))
    entry = {
        "case": name,
        "split": case.split,
        "label": case.label,
        "run": {"steps": len(run.trace), "seconds": took},
        "trace": told(alone),
    }
    if trace_only:
        return entry
    answer, gradients, seconds = asked(lambda: diagnose(run, case.build()))
    entry["problem"] = {**told(answer), "gradients": gradients, "seconds": seconds}
    if VERDICTS[case.label] and case.label != "broken":
        entry["remedy"] = mended(case, run, getattr(answer, "remedy", None))
    return entry


def asked(question: Callable[[], Any]) -> tuple[Any, int, float]:
    """The answer (or what was raised), the gradients it took, and the seconds."""
    began = time.perf_counter()
    with counted() as count:
        try:
            answer = question()
        except Exception as error:  # a diagnosis that raises is a wrong one, not the end of the benchmark
            answer = error
    return answer, count[0], time.perf_counter() - began


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """Counts the backward passes meanwhile; one of several copies at a time counts once."""
    count = [0]

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def counts(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            return original(*arguments, **options)

        return counts

    backward, grad = counting(torch.autograd.backward), counting(torch.autograd.grad)
    with mock.patch.object(torch.autograd, "backward", backward), mock.patch.object(torch.autograd, "grad", grad):
        yield count


def told(answer: Any) -> dict[str, Any]:
    """Verdict, confidence and evidence as plain values."""
    if isinstance(answer, Exception):
        return {"verdict": f"{type(answer).__name__}", "confidence": 0.0, "evidence": [["raised", str(answer)[:300], "", ""]]}
    evidence = [[one.quantity, short(one.value), short(one.threshold), one.source] for one in answer.evidence]
    return {"verdict": answer.verdict, "confidence": short(answer.confidence), "evidence": evidence}


def short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value if isinstance(value, int | str | None) else str(value)[:80]


# ---- its remedy


def mended(case: cases.Case, run: Run, remedy: Any) -> dict[str, Any]:
    """The descent once more with the remedy applied, and the loss at the end of both."""
    before = worth(case, run)
    if remedy is None:
        return {"setting": None, "before": before, "improved": False}
    entry = {"setting": remedy.setting, "value": short(remedy.value), "before": before, "improved": False}
    try:
        again = applied(case, remedy.setting, remedy.value)
    except Exception as error:  # a remedy that cannot be applied mends nothing
        return {**entry, "raised": f"{type(error).__name__}: {str(error)[:200]}"}
    if again is None:
        return entry
    after = worth(case, again)
    return {**entry, "after": after, "improved": after < before}


def applied(case: cases.Case, setting: str | None, value: Any) -> Run | None:
    """The same descent with one thing changed; None where the remedy is not of that kind."""
    if setting == "start":
        problem = case.build()
        model = copy.deepcopy(problem.model)
        model.load_state_dict(value)
        return descend(problem.with_(model=model, recipe=None), **cases.SILENT, **case.settings)
    if setting not in APPLIED or (setting == "steps" and value > MOST_STEPS):
        return None
    return case.run(**{setting: value})


def worth(case: cases.Case, run: Run) -> float:
    """The final loss over all training data (as it was before samples were spoilt); for overfitting over the validation data."""
    if run.ended == "diverged":
        return math.inf
    problem = (case.clean or case.build)()
    judged_on: Problem = problem.with_(data=problem.validation) if case.label == "overfitting" else problem
    model = copy.deepcopy(problem.model)
    model.load_state_dict(dict(run.weights))
    return truth.full_loss(judged_on, model)


# ---- all of them


def results(names: list[str], trace_only: bool, engine: str = "processes") -> list[dict[str, Any]]:
    with on_ray.pool(engine, on_ray.workers()) as mapped:
        return list(mapped(judged, [(name, trace_only) for name in names]))


def scores(entries: list[dict[str, Any]], by: str) -> dict[str, float]:
    """Accuracy, twice the wrong ones plus the unsure ones over all, and ill verdicts on healthy runs."""
    verdicts = [(entry["label"], entry[by]["verdict"]) for entry in entries]
    unsure = sum(verdict == "unsure" for _, verdict in verdicts)
    right = sum(label == verdict for label, verdict in verdicts)
    healthy = [verdict for label, verdict in verdicts if label in HEALTHY]
    return {
        "runs": len(verdicts),
        "right": right / len(verdicts),
        "unsure": unsure / len(verdicts),
        "weighted": (2 * (len(verdicts) - right - unsure) + unsure) / len(verdicts),
        "healthy": len(healthy),
        "alarms": sum(verdict not in (*HEALTHY, "unsure") for verdict in healthy) / max(1, len(healthy)),
    }


def accuracy(entries: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| split | told from | runs | right | unsure | wrong counted twice, unsure once | false alarms on healthy runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for split in cases.SPLITS:
        for by, words in (("problem", "run and problem"), ("trace", "trace alone")):
            chosen = [entry for entry in entries if entry["split"] == split and by in entry]
            if chosen:
                s = scores(chosen, by)
                lines.append(
                    f"| {split} | {words} | {s['runs']} | {s['right']:.1%} | {s['unsure']:.1%} | {s['weighted']:.3f} "
                    f"| {s['alarms']:.1%} of {s['healthy']} |"
                )
    return lines


def confusion(entries: list[dict[str, Any]], by: str) -> list[str]:
    """Rows: what is true; columns: what was said."""
    pairs = Counter((entry["label"], entry[by]["verdict"]) for entry in entries if by in entry)
    said = [verdict for verdict in VERDICTS if any(v == verdict for _, v in pairs)]
    said += sorted({v for _, v in pairs} - set(said))  # exceptions
    lines = ["| true \\ said | " + " | ".join(said) + " | right |", "|---" * (len(said) + 2) + "|"]
    for label in VERDICTS:
        row = {verdict: pairs[label, verdict] for verdict in said}
        if total := sum(row.values()):
            cells = " | ".join(str(row[verdict] or "") for verdict in said)
            lines.append(f"| {label} | {cells} | {row.get(label, 0)} of {total} |")
    return lines


def remedies(entries: list[dict[str, Any]]) -> list[str]:
    lines = ["| illness | runs | right verdict | remedy given | loss improved |", "|---|---|---|---|---|"]
    ill = [entry for entry in entries if "remedy" in entry]
    for label in [*(label for label in VERDICTS if any(entry["label"] == label for entry in ill)), "all"]:
        chosen = [entry for entry in ill if label in (entry["label"], "all")]
        if chosen:
            right = sum(entry["problem"]["verdict"] == entry["label"] for entry in chosen)
            given = sum(entry["remedy"]["setting"] is not None for entry in chosen)
            improved = sum(entry["remedy"]["improved"] for entry in chosen)
            lines.append(f"| {label} | {len(chosen)} | {right} | {given} | {improved} ({improved / len(chosen):.0%}) |")
    broken = [entry for entry in entries if entry["label"] == "broken" and "problem" in entry]
    found = sum(entry["problem"]["verdict"] == "broken" for entry in broken)
    return [*lines, "", f"Broken problems have no setting that mends them: {found} of {len(broken)} were found."]


def costs(entries: list[dict[str, Any]]) -> list[str]:
    chosen = [entry for entry in entries if "problem" in entry]
    if not chosen:
        return []
    gradients = np.array([entry["problem"]["gradients"] for entry in chosen])
    share = gradients / np.array([entry["run"]["steps"] for entry in chosen])
    seconds = np.array([entry["problem"]["seconds"] for entry in chosen])
    run = np.array([entry["run"]["seconds"] for entry in chosen])
    return [
        f"A diagnosis with the problem took {np.median(gradients):.0f} gradients (median; 90 %: {np.quantile(gradients, 0.9):.0f}, most "
        f"{gradients.max()}), {np.median(share):.0%} of its run's (90 %: {np.quantile(share, 0.9):.0%}); in seconds {np.median(seconds):.2f} "
        f"(90 %: {np.quantile(seconds, 0.9):.2f}), all of them together {seconds.sum() / run.sum():.2f} of the runs'."
    ]


def report(entries: list[dict[str, Any]]) -> list[str]:
    counts = Counter(case.label for case in cases.labelled())
    left_out = len(cases.candidates()) - counts.total()
    parts = [
        [f"{len(entries)} descents; {left_out} more were left out because their reruns gave no clear label."],
        accuracy(entries),
    ]
    for split in cases.SPLITS:
        chosen = [entry for entry in entries if entry["split"] == split]
        for by, words in (("problem", "run and problem"), ("trace", "trace alone")):
            if any(by in entry for entry in chosen):
                parts += [[f"What was said of the {split} runs, from {words} (rows: what is true):"], confusion(chosen, by)]
        if any("problem" in entry for entry in chosen):
            parts += [[f"The remedy applied once, on the {split} runs:"], remedies(chosen), costs(chosen)]
    return [line for part in parts for line in (*part, "")][:-1]


def wrong(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Every wrong answer, with its evidence; every remedy that did not improve."""
    for entry in entries:
        for by in ("problem", "trace"):
            if by in entry and entry[by]["verdict"] != entry["label"]:
                yield f"{entry['split']:11} {entry['case']}: is {entry['label']}, said {entry[by]['verdict']} ({by}, {entry[by]['confidence']})"
                yield from (
                    f"    {quantity}: {value} (threshold {threshold}; {source})"
                    for quantity, value, threshold, source in entry[by]["evidence"]
                )
        if "remedy" in entry and not entry["remedy"]["improved"]:
            yield f"{entry['split']:11} {entry['case']}: not mended, {entry['remedy']}"


def write(entries: list[dict[str, Any]]) -> None:
    before, rest = DOCS.read_text().split("<!-- verdicts -->", 1)
    _, after = rest.split("<!-- /verdicts -->", 1)
    DOCS.write_text(before + "<!-- verdicts -->\n" + "\n".join(report(entries)) + "\n<!-- /verdicts -->" + after)
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    RESULTS.write_text(f"[\n{lines}\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=[*cases.SPLITS, "both"], default="both")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--trace", action="store_true", help="from the trace alone")
    parser.add_argument("--wrong", action="store_true", help="print each wrong answer with its evidence")
    parser.add_argument("--truth", action="store_true", help="make the labels of the ladders anew")
    parser.add_argument("--tables", action="store_true", help="only write the tables anew from the results on file")
    parser.add_argument("--engine", default="processes", help="where the descents are made: processes, ray or ray:HOST:PORT")
    chosen = parser.parse_args()
    if chosen.tables:
        write(json.loads(RESULTS.read_text()))
        return
    truth.make(anew=chosen.truth)
    names = [case.name for case in cases.labelled() if chosen.split in (case.split, "both") and chosen.only in case.name]
    entries = results(names, chosen.trace, chosen.engine)
    print("\n".join([*report(entries), *(wrong(entries) if chosen.wrong else ())]))
    if chosen.split == "both" and not chosen.only and not chosen.trace:
        write(entries)


if __name__ == "__main__":
    main()
