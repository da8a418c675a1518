"""How is a descent shown to somebody else?  runs -> one file with the page and all that it shows in it, which opens without a server or a network."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surefoot.descent.live import Progress
from surefoot.diagnosis.diagnose import diagnose
from surefoot.diagnosis.diagnosis import Diagnosis
from surefoot.errors import SettingError, StoreError, SurefootError
from surefoot.figures.marks import marks
from surefoot.figures.pictures.series import labels_of
from surefoot.figures.scales import number
from surefoot.lab import chosen, panes
from surefoot.lab.fan import worth_it
from surefoot.lab.recorded import asked_for
from surefoot.lab.scene import Racer, judged, raced, scene
from surefoot.lab.session import Conversation
from surefoot.lab.snippet import snippet
from surefoot.lab.state import OWN, RIVALS, State, plain
from surefoot.lab.wire import packed, picture
from surefoot.problem import Problem
from surefoot.problems import load
from surefoot.run import Path as Walked
from surefoot.run import Run, whole

PAGE = Path(__file__).parent / "page"
POINTS = 2_000  # of a path that are kept: more cannot be told apart on a screen
STYLE, SCRIPT = '<link rel="stylesheet" href="lab.css">', '<script type="module" src="lab.js"></script>'

Message = Mapping[str, Any]


def report(
    run: Run | Sequence[Run],
    path: str | os.PathLike[str] | None = None,
    *,
    problem: Problem | None = None,
    landscape: bool = True,
    progress: Progress = False,
) -> Path:
    """Writes one HTML file that shows descents as the lab does: read-only, with everything in it, to be sent, kept and opened offline.

    It holds every row of the traces, the paths, the landscape and the verdicts measured on the problem; of two weights also the loss at other
    rates. A browser that opens it is forbidden to load anything from anywhere. It takes some 0.4 MB for 1,000 steps of two weights, and
    20 bytes for every further step.

    Args:
        run: a run, or up to six of one problem, which race.
        path: the file; one that is there is replaced. None: ``surefoot-report-PROBLEM.html`` in the current folder, or, where that is there
            already, the same with the next free number.
        problem: what was descended. None: it is made again as the run's recipe says; where that is not possible, the report holds what the traces
            tell by themselves, no landscape, and a note that says so.
        landscape: whether the landscape is drawn; that of a network takes some seconds.
        progress: as of `surefoot.landscape`.

    Returns:
        The path of the file.

    Raises:
        SettingError: it is no run, there are more than six, they are not of one problem, or the problem given has another number of weights.
        StoreError: the file cannot be written; what was there before is still there.

    Example:
        >>> import surefoot, tempfile
        >>> run = surefoot.descend(surefoot.problems.load("line"), lr=0.3, steps=20, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = surefoot.report(run, f"{folder}/line.html")
        ...     text = written.read_text(encoding="utf-8")
        >>> written.name, "://" in re.sub("<script.*?</script>", "", text, flags=re.DOTALL)
        ('line.html', False)
    """
    runs = _runs(run)
    notes: list[str] = []
    if problem is None:
        problem = _again(runs[0], notes)
    _check(runs, problem)
    target = None if path is None else _writable(Path(path).expanduser())
    messages = _messages([_thinned(each, notes) for each in runs], problem, landscape, progress, notes)
    title = str(runs[0].config.get("problem") or "a descent")
    content = _page(messages, title).encode("utf-8", "replace")
    with _named(target, title) as file, whole(file) as writing:
        writing.write(content)
    return file


def _runs(given: Any) -> list[Run]:
    runs = [given] if isinstance(given, Run) else list(given) if isinstance(given, list | tuple) else []
    wrong = next((each for each in runs if not isinstance(each, Run)), None) if runs else given
    if not runs or wrong is not None:
        raise SettingError(f"A report is of a Run, or of a list of them, got {type(wrong).__name__}; `surefoot.descend` makes one.")
    if len(runs) > RIVALS + 1:
        raise SettingError(f"A report shows at most {RIVALS + 1} runs, as many as can be told apart, got {len(runs)}.")
    if any(len(each.trace) == 0 for each in runs):
        raise SettingError("A run without a single step has nothing to show.")
    return runs


def _check(runs: Sequence[Run], problem: Problem | None) -> None:
    """Refuses runs of several problems, and a problem that is not theirs."""
    made = [(each.config.get("problem"), each.config.get("recipe")) for each in runs]
    named = list(dict.fromkeys(str(name) for name, _ in made))
    if any(each != made[0] for each in made):
        told = f"{', '.join(named)}" if len(named) > 1 else f"{named[0]} made with different options or starts"
        raise SettingError(f"A report compares runs of one problem, got {told}; write one report for each.")
    weights = {int(each.path.weights.shape[-1]) for each in runs}
    if problem is not None and weights != {chosen.count_of(problem)}:
        counts = " and ".join(f"{count:,}" for count in sorted(weights))
        raise SettingError(
            f"{problem.called} has {chosen.count_of(problem):,} weights, the run {counts}: give the problem that was descended."
        )


def _again(run: Run, notes: list[str]) -> Problem | None:
    """The problem made anew; None, with a note, where that is not possible."""
    recipe, without = run.config.get("recipe"), "so this is what the trace tells by itself, without a landscape"
    if not recipe:
        notes.append(f"The run does not know how its problem was made, {without}.")
        return None
    try:
        return load(**recipe)
    except SurefootError as error:
        notes.append(f"The problem could not be made again ({error}), {without}.")
        return None


def _thinned(run: Run, notes: list[str]) -> Run:
    """The run with fewer points on its path, where there are very many; the trace stays whole."""
    points = len(run.path)
    if points <= POINTS:
        return run
    kept = np.unique(np.linspace(0, points - 1, POINTS).round().astype(int))
    notes.append(f"Of the path {len(kept):,} of {points:,} points are kept; of the loss every step is.")
    return replace(run, path=Walked(np.asarray(run.path.steps)[kept], run.path.weights[torch.from_numpy(kept)]))


# ---- what the page is told


def _messages(runs: Sequence[Run], problem: Problem | None, landscape: bool, progress: Progress, notes: list[str]) -> list[Message]:
    state, whole_told = asked_for(runs)
    racers = [Racer(each, run) for each, run in zip(_states(state, len(runs)), runs, strict=True)]
    setup = chosen.Setup(own=problem, own_name=str((runs[0].config.get("recipe") or {}).get("name", "")))
    found = [_judge(run, problem, notes) for run in runs]
    told: list[Message] = []
    if problem is None:
        shown = _bare(racers, found, state)
    else:
        shown = scene(racers, problem, state, setup, verdicts=found)
        code = snippet(state, setup, state.steps, chosen.has_samples(problem), chosen.count_of(problem) <= 2)
        shown |= {"code": code, "slow": False}
        told += _landscape(runs, problem, shown["keys"]["surface"], progress, notes) if landscape else []
        told += _rates(state, problem, shown["keys"]["rates"]) if whole_told else []
    for racer, run in zip(
        shown["racers"], runs, strict=True
    ):  # in the words of the call, also where the lab has no control for them
        racer |= {"lr": float(run.config["lr"]), "optimizer": str(run.config.get("optimizer", "?"))}
    notes = list(dict.fromkeys(notes))
    shown["notes"] = notes
    shown["about"] = str(runs[0]).splitlines()[0] if len(runs) == 1 else f"{shown['problem']['title']}: {len(runs)} descents"
    shown["pictures"]["loss"]["notes"] = [*shown["pictures"]["loss"]["notes"], *notes]
    verdicts = judged(found, shown["keys"]["verdict"])
    return [_welcome(setup, shown["state"], hide=[] if whole_told and problem else ["code"]), shown, verdicts, *told]


def _states(state: State, count: int) -> list[State]:
    """The state of every racer; `asked_for` has as many as there are runs."""
    return [state, *(replace(state, race=(), **other) for other in state.race)][:count]


def _judge(run: Run, problem: Problem | None, notes: list[str]) -> Diagnosis:
    """What is the matter with it, measured on the problem where that works."""
    if problem is None:
        return diagnose(run)
    try:
        return diagnose(run, problem)
    except SurefootError as error:
        notes.append(f"The verdict is from the trace alone: the problem could not be measured ({error}).")
        return diagnose(run)


def _landscape(runs: Sequence[Run], problem: Problem, key: str, progress: Progress, notes: list[str]) -> list[Message]:
    try:
        return [{**panes.surface(problem, runs, progress), "key": key}]
    except SurefootError as error:
        notes.append(f"There is no landscape: {error}")
        return []


def _rates(state: State, problem: Problem, key: str) -> list[Message]:
    """What other learning rates lead to, where all of them are walked in a moment, and the range test."""
    if not worth_it(problem, chosen.asked(state, problem)):
        return []
    talk, told = Conversation(chosen.Setup(own=problem)), list[Message]()
    settings = {**plain(replace(state, problem=OWN, start=(), race=()))}
    for ask in ("rates", "range"):
        talk.answer({"ask": ask, "seq": 0, "state": settings}, told.append, lambda: None)
    answered = [each for each in told if each["kind"] in ("rates", "range")]
    # the pane offers both: one of them alone would leave the other waiting for ever
    return [{**each, "key": key} for each in answered] if len(answered) == 2 else []


def _bare(racers: Sequence[Racer], found: Sequence[Diagnosis], state: State) -> dict[str, Any]:
    """The scene without the problem: what the traces tell."""
    runs = [racer.run for racer in racers]
    labels = labels_of([run.config for run in runs]) if len(runs) > 1 else [f"lr {number(runs[0].config['lr'])}"]
    name = str(runs[0].config.get("problem") or "a problem")
    known = {"name": state.problem, "title": name, "line": "", "weights": int(runs[0].path.weights.shape[-1]), "dims": 0, "samples": 0, "loss": "",
             "batches": False, "most_steps": state.steps, "slider": list(chosen.SLIDER)}  # fmt: skip
    return {
        "kind": "scene",
        **dict.fromkeys(("partial", "exact", "slow"), False),
        **dict.fromkeys(("field", "samples")),
        "state": plain(state),
        "keys": {"data": "", "surface": "", "rates": "", "verdict": "trace"},
        "problem": {**known, **{key: [] for key in ("names", "start", "minima", "uses", "limits")}},
        "racers": [
            raced(racer, label, each, None, place)
            for place, (racer, label, each) in enumerate(zip(racers, labels, found, strict=True))
        ],
        "pictures": {"loss": picture(marks(runs)), "data": None},
        "code": "",
    }


def _welcome(setup: chosen.Setup, state: Message, hide: list[str]) -> Message:
    """What a page is told first; a report has no lessons, since nothing can be tried in it."""
    told: list[Message] = []
    Conversation(setup).answer({"ask": "hello", "seq": 0}, told.append, lambda: None)
    return {**told[0], "state": {**state, "hide": hide}, "lessons": [], "live": False}


# ---- the file


def _page(messages: Sequence[Message], title: str) -> str:
    """The built page with its script, its style and the messages in it."""
    try:
        index, script, style = ((PAGE / name).read_text(encoding="utf-8") for name in ("index.html", "lab.js", "lab.css"))
    except OSError as error:
        raise StoreError(f"The page that a report consists of cannot be read ({error}): install surefoot again.") from error
    script = re.sub(
        r"<(?=/?script|!--)", r"\\x3c", script, flags=re.IGNORECASE
    )  # in a string or a pattern the same, for the parser of HTML no tag
    style = style.replace("</", "<\\/")
    frames = (packed({**message, "seq": 0}) for message in messages)
    data = base64.b64encode(b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)).decode()
    # forbidden is all but this very script and style: no request, and nothing that a text of the run could smuggle in
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    parts = {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "<title>surefoot lab</title>": f"<title>{html.escape(title)} · surefoot report</title>",
        STYLE: f"<style>{style}</style>",
        SCRIPT: f'<script type="application/octet-stream" id="surefoot-data">{data}</script>\n<script type="module">{script}</script>',
    }
    before = re.split("|".join(map(re.escape, parts)), index)
    assert len(before) == len(parts) + 1, "the built page is not what a report is made from"
    found = re.findall("|".join(map(re.escape, parts)), index)
    return "".join(piece for text, part in zip(before, [*found, ""], strict=True) for piece in (text, parts.get(part, "")))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _writable(path: Path) -> Path:
    """Refuses, before anything is computed, what cannot become a file."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder: name a file in it, such as {path / 'report.html'}.")
    if not path.parent.is_dir():
        raise StoreError(f"{path} cannot be written: there is no folder {path.parent}.")
    return path


@contextlib.contextmanager
def _named(path: Path | None, title: str) -> Iterator[Path]:
    """The file to write; without a path one in the current folder that was not there, and is gone again if nothing was written."""
    if path is not None:
        yield path
        return
    claimed = _claimed(re.sub(r"[^\w.-]+", "-", title, flags=re.ASCII).strip("-.")[:60] or "run")
    try:
        yield claimed
    except BaseException:
        claimed.unlink(missing_ok=True)
        raise


def _claimed(name: str) -> Path:
    """An empty file that nobody else writes to."""
    count = 1
    while True:
        file = Path(f"surefoot-report-{name}{f'-{count}' * (count > 1)}.html")
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            count += 1
        except OSError as error:
            raise StoreError(f"{file} could not be written to the current folder ({error.strerror}); give a path.") from error
        else:
            return file
