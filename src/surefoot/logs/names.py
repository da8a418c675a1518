"""Which column means what?  The names in a log -> the columns of a trace that they stand for.

Names are compared in lower case with every other sign than a letter or a digit as one underscore: ``train/loss``, ``Train Loss`` and ``train.loss``
are ``train_loss``. Where several fit, the one that comes first below is taken. Sources, as of 2026: Lightning 2.6 (``CSVLogger``,
``LearningRateMonitor`` with ``lr-Adam/pg1``, ``WandbLogger`` with ``trainer/global_step``), Hugging Face transformers 4 and 5
(``Trainer.log``), Weights & Biases (``_step``, ``_runtime``, ``_timestamp``), Keras (``CSVLogger``, the ``TensorBoard`` callback),
PyTorch's tutorial on ``torch.utils.tensorboard`` (``Loss/train``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from surefoot.errors import UserFileError, unknown
from surefoot.trace import COLUMNS

NAMES: Mapping[str, tuple[str, ...]] = {
    "step": ("step", "global_step", "train_global_step", "trainer_global_step", "iteration", "iter", "batch_idx", "_step"),
    "epoch": ("epoch", "train_epoch", "epochs"),
    "lr": ("lr", "learning_rate", "train_lr", "train_learning_rate", "lr_*", "learning_rate_*", "epoch_learning_rate", "epoch_lr"),
    "loss": (
        *("loss", "train_loss", "training_loss", "loss_train", "loss_training"),
        *(
            "train_loss_step",
            "training_loss_step",
            "loss_step",
            "batch_loss",
            "train_batch_loss",
            "loss_batch",
            "total_loss",
            "train_total_loss",
        ),
        *("train_loss_epoch", "training_loss_epoch", "loss_epoch", "epoch_loss", "train_epoch_loss"),
    ),
    "grad_norm": ("grad_norm", "train_grad_norm", "gradient_norm", "train_gradient_norm", "grad_2_0_norm_total"),
    "weight_norm": ("weight_norm", "train_weight_norm", "param_norm", "params_norm"),
    "update_norm": ("update_norm", "train_update_norm"),
    "validation_loss": (
        *("validation_loss", "val_loss", "valid_loss", "eval_loss", "loss_validation", "loss_val", "loss_valid", "loss_eval"),
        *("val_loss_epoch", "validation_loss_epoch", "valid_loss_epoch", "eval_loss_epoch", "epoch_val_loss"),
        *("dev_loss", "test_loss", "loss_test"),
    ),
    "seconds": ("seconds", "_runtime", "runtime", "_timestamp", "timestamp", "wall_time", "walltime", "elapsed", "time"),
}


def chosen(names: Iterable[str], columns: Mapping[str, str] | None, where: object) -> dict[str, str]:
    """Which of the log's names stands for which column of the trace; a column that the log lacks is not in the answer.

    Args:
        names: the names in the log, in its order.
        columns: the user's choice, column of the trace -> name in the log; it goes before the table.
        where: the log, for the message.

    Raises:
        SettingError: ``columns`` names something that is no column of a trace.
        UserFileError: ``columns`` names something that the log lacks.

    Example:
        >>> chosen(["Step", "train/loss", "lr-SGD", "acc"], None, "a.csv")
        {'step': 'Step', 'lr': 'lr-SGD', 'loss': 'train/loss'}
    """
    names = list(names)
    asked = {column: _asked(column, name, names, where) for column, name in (columns or {}).items()}
    plain: dict[str, str] = {}
    for name in names:
        if name not in asked.values():
            plain.setdefault(_plain(name), name)
    found = {column: asked.get(column) or _first(patterns, plain) for column, patterns in NAMES.items()}
    return {column: name for column, name in found.items() if name is not None}


def spoken_for(name: str) -> bool:
    """Whether a name only counts or times the rows, so that it is not worth a column of its own."""
    return name.startswith("_") or _plain(name) in (*NAMES["step"], *NAMES["epoch"], *NAMES["seconds"])


def _first(patterns: Iterable[str], plain: Mapping[str, str]) -> str | None:
    for pattern in patterns:
        if pattern in plain:
            return plain[pattern]
        if pattern.endswith("*"):
            found = next((name for key, name in plain.items() if key.startswith(pattern[:-1])), None)
            if found is not None:
                return found
    return None


def _asked(column: str, name: str, names: list[str], where: object) -> str:
    if column not in COLUMNS:
        raise unknown("column of a trace", column, COLUMNS)
    found = [name] if name in names else [other for other in names if _plain(other) == _plain(str(name))]
    if not found:
        raise UserFileError(
            f"{where} has no column {name!r} with numbers, which columns= names for {column!r}. It has {listed(names)}."
        )
    return found[0]


def listed(names: Iterable[str]) -> str:
    """The names in a sentence, at most twenty of them."""
    names = list(names)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "no column with numbers") + more


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).rstrip("_")
