"""What can a Keras model be asked?  a compiled model (on TensorFlow, JAX or torch) + data -> a learning rate; its ``fit`` -> a trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from surefoot.errors import SettingError
from surefoot.find.choose import find_lr as find
from surefoot.find.found import Found
from surefoot.integrations.keras_model import problem_of
from surefoot.integrations.keras_optimizer import moving, optimizer_of, schedule_of
from surefoot.integrations.keras_watch import Watch
from surefoot.problem import Problem

__all__ = ["Watch", "find_lr", "problem_of", "settings_of"]
STEPS = 1000  # the horizon, where neither steps nor epochs are given


def settings_of(model: Any, *, steps: int = STEPS, known: Any = ()) -> dict[str, Any]:
    """What `find_lr` and `descend` take, from the optimizer that the model was compiled with.

    Args:
        model: a compiled model.
        steps: the horizon, in updates of the weights, over which a schedule of Keras' is read.
        known: names of settings that are given otherwise and need not be read.

    Returns:
        ``optimizer`` (the torch one of the same formula), ``schedule`` (multiples of its highest rate), ``steps``, and where the
        optimizer has them ``clip_norm`` and ``accumulate``.

    Raises:
        SettingError: the optimizer is not known, or averages the weights; the message says what to pass.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=2.0), "mse")
        >>> settings = settings_of(model, steps=100)
        >>> settings["optimizer"].keywords["momentum"], settings["clip_norm"], settings["schedule"]
        (0.9, 2.0, 'constant')
    """
    theirs = moving(model)
    every = getattr(theirs, "gradient_accumulation_steps", None) or 1
    read: dict[str, Callable[[], Any]] = {
        "steps": lambda: steps,
        "optimizer": lambda: optimizer_of(model),
        "schedule": lambda: schedule_of(model, steps, every),
        "clip_norm": lambda: getattr(theirs, "global_clipnorm", None),
        "accumulate": lambda: every,
    }
    made = {name: get() for name, get in read.items() if name not in known}
    return {name: value for name, value in made.items() if value is not None and (name, value) != ("accumulate", 1)}


def find_lr(
    model: Any, x: Any, y: Any = None, *, batch_size: int | None = None, validation_data: Any = None, sample_weight: Any = None,
    class_weight: Any = None, epochs: float | None = None, steps: int | None = None, **more: Any,
) -> Found:  # fmt: skip
    """The learning rate to compile the model with: `surefoot.find_lr` of its problem under its own loss, optimizer and schedule.

    Args:
        model: a compiled model; its weights, its optimizer and its random state stay as they are, bit for bit.
        x: as for `problem_of`, and so are ``y``, ``batch_size``, ``validation_data``, ``sample_weight`` and ``class_weight``.
        y: the targets.
        batch_size: None for 32.
        validation_data: without it, the training loss decides.
        sample_weight: as for ``fit``.
        class_weight: as for ``fit``.
        epochs: the horizon in passes through the data, as for ``fit``; or
        steps: in updates of the weights; 1,000 where neither is given.
        more: whatever else `surefoot.find_lr` takes: ``seed``, ``budget``, ``optimizer``, ``schedule``, ``clip_norm`` ...

    Returns:
        `Found`. Of a model compiled with a schedule, its ``lr`` is the highest rate of the schedule.

    Raises:
        ProblemError: as `problem_of`.
        SettingError: as `settings_of`, or both ``epochs`` and ``steps`` are given, or epochs of data that tells no number of batches.

    Example:
        >>> import keras, numpy as np
        >>> drawn = np.random.default_rng(0)
        >>> x = drawn.standard_normal((256, 4)).astype("float32")
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> found = find_lr(model, x, x @ np.ones((4, 1), "float32"), batch_size=32, steps=100)
        >>> found.confident, 0.001 < found.lr < 1, bool((model.get_weights()[0] == 0).all())
        (True, True, True)
    """
    if epochs is not None and steps is not None:
        raise SettingError(f"Give steps or epochs, not both; got steps={steps!r} and epochs={epochs!r}.")
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int | float) or not 0 < epochs < math.inf):
        raise SettingError(f"epochs must be a positive number of passes through the data, got {epochs!r}.")
    problem = problem_of(model, x, y, batch_size=batch_size, validation_data=validation_data, sample_weight=sample_weight,
                         class_weight=class_weight)  # fmt: skip
    if epochs is not None:
        every = more.get("accumulate") or getattr(moving(model), "gradient_accumulation_steps", None) or 1
        steps = _steps(problem, epochs, every)
    settings = settings_of(model, steps=STEPS if steps is None else steps, known=more)
    found: Found = find(problem, **{**settings, **more})
    return found


def _steps(problem: Problem, epochs: float, accumulate: int) -> int:
    size, data = problem.batch_size, problem.data
    try:
        batches = -(-len(data[0]) // size) if isinstance(size, int) else len(data)
    except TypeError as error:
        raise SettingError(
            f"The data tells no number of batches ({error}), so that {epochs:g} epochs are no number of steps. Pass steps=."
        ) from error
    return max(1, round(epochs * -(-batches // accumulate)))
