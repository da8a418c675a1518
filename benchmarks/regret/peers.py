"""What others answer.  A case -> the rates that other packages suggest, and what learning-rate-free optimizers end at, by running them.

The packages run as they are published, from their public entry points and with their default settings, on copies of the case's model,
with its own batches, optimizer and loss.  In an environment with the extra ``bench``, optuna, prodigyopt and dadaptation::

    python benchmarks/regret/peers.py held-out peers_held_out.json
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import json
import logging
import math
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cases
import torch
from cases import DEFAULTS, Case
from torch import Tensor, nn
from torch.optim import SGD, AdamW, RMSprop
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, Dataset, TensorDataset
from truth import SEEDS, final_losses

from surefoot import Problem, descend
from surefoot.descent.batches import DEFAULT_BATCH_SIZE

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError):  # a CUDA build beside a CPU torch: Lightning is content without it, not with a broken one
    sys.modules["torchvision"] = None  # type: ignore[assignment]

OPTIMIZERS: dict[str, tuple[Any, dict[str, float]]] = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}),
    "adamw": (AdamW, {}),
    "rmsprop": (RMSprop, {}),
}
README_START = 1e-7  # torch-lr-finder starts at the optimizer's own rate; this is the one of its README
OPTUNA_RANGE = 1e-8, 10.0
OPTUNA = {1.0: (10, 10), 3.0: (12, 4)}  # cost in whole trainings -> trials, and the share of the training that each one is
DIVERGED = 1e30  # optuna takes no infinity
SPLITS = {"tuning": cases.tuning, "held-out": cases.held_out}


@dataclass
class Notes:
    """Why there is no answer, and what the answers cost in gradient evaluations, by the finder's name."""

    reasons: dict[str, str] = field(default_factory=dict)
    gradients: dict[str, int] = field(default_factory=dict)


# ---- a case in the words of the other packages


class Whole(nn.Module):
    """A model and its objective in one: a batch -> the loss, for packages that only know model(input) and criterion(output, target)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.inner, self.objective = copy.deepcopy(problem.model), problem.objective

    def forward(self, batch: Any) -> Tensor:
        assert self.objective is not None
        return self.objective(self.inner, batch)


class AsInput(Dataset[Any]):
    """Inputs and targets as one input, beside a target that nobody looks at: an objective must reach both."""

    def __init__(self, pairs: TensorDataset) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        return self.pairs[index], 0.0


def model_and_criterion(problem: Problem) -> tuple[nn.Module, Callable[..., Tensor]]:
    """A copy of the model, and criterion(output, target)."""
    if problem.loss is not None:
        return copy.deepcopy(problem.model), problem.loss
    return Whole(problem), lambda loss, *_: loss


def batches(problem: Problem, joined: bool = False) -> DataLoader[Any]:
    """The case's own batches in an order drawn from seed 0; ``joined`` for a model that is `Whole`."""
    pairs = TensorDataset(*problem.data)
    size = len(pairs) if problem.batch_size == "full" else min(int(problem.batch_size or DEFAULT_BATCH_SIZE), len(pairs))
    data = AsInput(pairs) if joined and problem.loss is None else pairs
    return DataLoader(data, batch_size=size, shuffle=True, generator=torch.Generator().manual_seed(0))


def optimizer(case: Case, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    maker, settings = OPTIMIZERS[case.optimizer]
    return maker(model.parameters(), lr=lr, **settings)


# ---- how a package is asked


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars, prints, warnings and logs, and nobody's random numbers but those of seed 0."""
    logging.getLogger("lightning.pytorch").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as around:
        around.enter_context(contextlib.redirect_stdout(io.StringIO()))
        around.enter_context(contextlib.redirect_stderr(io.StringIO()))
        around.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        around.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(0)
        yield


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """The steps of every optimizer meanwhile: in a range test each of them is one gradient."""
    count = [0]

    def one_more(*_: Any) -> None:
        count[0] += 1

    handle = register_optimizer_step_pre_hook(one_more)
    try:
        yield count
    finally:
        handle.remove()


def asked(case: Case, name: str, find: Callable[[Case], float | None], notes: Notes | None) -> dict[str, float | None]:
    """The finder's answer under its name; None where it raised or said nothing usable, with the reason in the notes."""
    notes = Notes() if notes is None else notes
    lr = None
    _ = case.made  # some are made by a training, which is not the finder's
    with counted() as count:
        try:
            with quiet():
                lr = find(case)
            reason = None if usable(lr) else f"answered {lr} after {count[0]} iterations"
        except Exception as error:
            reason = f"{told(error)} (after {count[0]} iterations)"
    notes.gradients[name] = count[0]
    if reason is not None:
        notes.reasons[name] = reason
    return {name: float(lr) if usable(lr) else None}  # type: ignore[arg-type]


def usable(lr: float | None) -> bool:
    return lr is not None and math.isfinite(lr) and lr > 0


def told(error: Exception) -> str:
    """The error in a line, with the function that raised it."""
    where = traceback.extract_tb(error.__traceback__)[-1].name
    return f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:200]}"


# ---- the packages


def fastai(case: Case, notes: Notes | None = None) -> dict[str, float | None]:
    """Every rule in a run of its own, so that one that raises leaves the others theirs."""
    from fastai.callback.schedule import minimum, slide, steep, valley

    rules = {"valley": valley, "slide": slide, "minimum/10": minimum, "steep": steep}
    answers: dict[str, float | None] = {}
    for name, rule in rules.items():
        answers |= asked(case, f"fastai {name}", functools.partial(_fastai, rule=rule), notes)
    return answers


def _fastai(case: Case, rule: Any) -> float | None:
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    model, criterion = model_and_criterion(case.made)
    maker, settings = OPTIMIZERS[case.optimizer]
    loaders = DataLoaders(batches(case.made, joined=True), batches(case.made, joined=True), device=torch.device("cpu"))
    wrapped = functools.partial(OptimWrapper, opt=maker, **settings)
    with tempfile.TemporaryDirectory() as folder:
        learner = Learner(loaders, model, loss_func=criterion, opt_func=wrapped, path=folder)
        return learner.lr_find(show_plot=False, suggest_funcs=(rule,))[0]


def lightning(case: Case, notes: Notes | None = None) -> dict[str, float | None]:
    return asked(case, "lightning", _lightning, notes)


def _lightning(case: Case) -> float | None:
    import lightning.pytorch as pl
    from lightning.pytorch.tuner import Tuner

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.lr = copy.deepcopy(case.made.model), DEFAULTS[case.optimizer]

        def training_step(self, batch: Any, index: int) -> Tensor:
            return case.made.loss_on(self.inner, batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer(case, self, self.lr)

    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(accelerator="cpu", default_root_dir=folder, **silent)
        found = Tuner(trainer).lr_find(Module(), batches(case.made))
        return found.suggestion() if found is not None else None


def torch_lr_finder(case: Case, notes: Notes | None = None) -> dict[str, float | None]:
    return asked(case, "torch-lr-finder", _torch_lr_finder, notes)


def _torch_lr_finder(case: Case) -> float | None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from torch_lr_finder import LRFinder

    model, criterion = model_and_criterion(case.made)
    finder = LRFinder(model, optimizer(case, model, README_START), criterion, device="cpu")
    finder.range_test(batches(case.made, joined=True), end_lr=10, num_iter=100)
    try:
        return finder.plot(ax=pyplot.figure().subplots())[1]
    finally:
        pyplot.close("all")


# ---- search by short trainings


def optuna_tpe(case: Case, budget: float = 1.0, seed: int = 0) -> float:
    """The best rate of a search that costs ``budget`` whole trainings, each trial a short one under the compressed schedule."""
    return float(_study(case, budget, seed).best_params["lr"])


def _study(case: Case, budget: float, seed: int) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    trials, share = OPTUNA[budget]

    def objective(trial: Any) -> float:
        lr = trial.suggest_float("lr", *OPTUNA_RANGE, log=True)
        steps = case.steps // share
        settings = {"optimizer": case.optimizer, "schedule": case.schedule, "steps": steps, "validate_every": steps}
        run = descend(case.made, lr=lr, seed=seed, **settings)
        trial.set_user_attr("gradients", len(run.trace))
        loss = float(run.trace["validation_loss"][-1])
        return loss if run.ended != "diverged" and math.isfinite(loss) else DIVERGED

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return study


def searched(case: Case, notes: Notes) -> dict[str, float | None]:
    """Both searches; exact counts, for a descent that diverges evaluates one gradient more than it steps."""
    answers: dict[str, float | None] = {}
    for budget in OPTUNA:
        name = f"optuna TPE {budget:g}"
        study = _study(case, budget, 0)
        notes.gradients[name] = sum(trial.user_attrs["gradients"] for trial in study.trials)
        if study.best_value >= DIVERGED:
            notes.reasons[name] = "every trial diverged; its answer is one of their rates"
        answers[name] = float(study.best_params["lr"])
    return answers


def library_default(case: Case) -> float:
    return DEFAULTS[case.optimizer]


def suggestions(case: Case, notes: Notes | None = None) -> dict[str, float | None]:
    """Every rate that anybody suggests for this case."""
    notes = Notes() if notes is None else notes
    default = {"library default": library_default(case)}
    notes.gradients["library default"] = 0
    return fastai(case, notes) | lightning(case, notes) | torch_lr_finder(case, notes) | searched(case, notes) | default


# ---- optimizers that need no rate


def free_optimizers(case: Case) -> dict[str, Any]:
    """At their defaults; where the case's optimizer has momentum, also the one whose default is none with as much."""
    from dadaptation import DAdaptAdam, DAdaptSGD
    from prodigyopt import Prodigy

    found: dict[str, Any] = {"Prodigy": Prodigy, "DAdaptAdam": DAdaptAdam}
    if case.optimizer in ("sgd", "momentum"):
        found["DAdaptSGD"] = DAdaptSGD
    if case.optimizer == "momentum":
        found["DAdaptSGD momentum 0.9"] = functools.partial(DAdaptSGD, momentum=0.9)
    return found


def free(case: Case, seed: int, name: str) -> tuple[float, float]:
    """Validation and training loss after the whole training by this optimizer, infinite where it diverged."""
    changed = dataclasses.replace(case, optimizer=free_optimizers(case)[name], build=lambda: case.made)
    return final_losses(changed, 1.0, seed)


def freely(case: Case, name: str, notes: Notes) -> list[list[float]]:
    """`free` for every seed; one that raises counts as diverged, with the reason in the notes."""
    losses = []
    for seed in SEEDS:
        try:
            with quiet():
                losses.append(list(free(case, seed, name)))
        except Exception as error:
            notes.reasons[f"{name} {seed}"] = told(error)
            losses.append([math.inf, math.inf])
    return losses


# ---- all of it


def everything(split: str, name: str) -> dict[str, Any]:
    """One case, by name: its parts do not pickle."""
    torch.set_num_threads(1)
    case = next(case for case in SPLITS[split]() if case.name == name)
    notes = Notes()
    suggested = suggestions(case, notes)
    losses = {optimizer_name: freely(case, optimizer_name, notes) for optimizer_name in free_optimizers(case)}
    return {"suggestions": suggested, "free": losses, "reasons": notes.reasons, "gradients": notes.gradients}


def main(arguments: Sequence[str]) -> None:
    """All cases of a split; those that are in the file already are left as they are."""
    split, file = arguments[0], Path(arguments[1])
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    missing = [case.name for case in SPLITS[split]() if case.name not in found]
    # a process of its own, since other packages leave settings and handlers behind
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name, answer in zip(missing, pool.map(functools.partial(everything, split), missing), strict=True):
            found[name] = answer
            file.write_text(json.dumps(found, indent=1))
            print(name, answer["suggestions"], answer["reasons"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
