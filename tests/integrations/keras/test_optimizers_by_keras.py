"""The torch optimizer that stands for one of Keras moves weights as Keras itself does, fed the same gradients."""

import pytest

keras = pytest.importorskip("keras")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from surefoot.errors import SettingError  # noqa: E402
from surefoot.integrations.keras import settings_of  # noqa: E402

O = keras.optimizers  # noqa: E741
STEPS = 8
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of NumPy, about what Keras' variables convert to
MADE = {
    "sgd": lambda **k: O.SGD(0.01, **k),
    "momentum": lambda **k: O.SGD(0.01, momentum=0.8, **k),
    "nesterov": lambda **k: O.SGD(0.01, momentum=0.8, nesterov=True, **k),
    "adam": lambda **k: O.Adam(0.01, beta_1=0.8, epsilon=1e-9, **k),
    "amsgrad": lambda **k: O.Adam(0.01, amsgrad=True, **k),
    "adamw": lambda **k: O.AdamW(0.01, weight_decay=0.1, **k),
    "rmsprop": lambda **k: O.RMSprop(0.01, rho=0.8, **k),
    "rmsprop with all": lambda **k: O.RMSprop(0.01, momentum=0.5, centered=True, **k),
    "adagrad": lambda **k: O.Adagrad(0.01, **k),
    "adamax": lambda **k: O.Adamax(0.01, **k),
    "nadam": lambda **k: O.Nadam(0.01, **k),
    "adadelta": lambda **k: O.Adadelta(0.5, **k),
}
BESIDE = {
    "nothing": {},
    "decay": {"weight_decay": 0.2},
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.3},
    "global_clipnorm": {"global_clipnorm": 0.5},
}


def model(optimizer):
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    made.compile(optimizer, "mse")
    drawn = np.random.default_rng(0)
    made.set_weights([drawn.standard_normal(w.shape) for w in made.get_weights()])
    return made


def slopes():
    drawn = np.random.default_rng(1)
    return [[drawn.standard_normal(shape).astype("float32") for shape in ((3, 4), (4,), (4, 2), (2,))] for _ in range(STEPS)]


def by_keras(made):
    values = []
    for gradients in slopes():
        made.optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], made.trainable_variables)
        values.append([np.array(w) for w in made.get_weights()])
    return values


def by_torch(made, settings):
    lr = float(made.optimizer.learning_rate)
    holder = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(w)) for w in made.get_weights()])
    maker = settings["optimizer"]
    optimizer = maker(list(holder), lr=lr) if hasattr(maker, "func") else maker(holder)
    for group in optimizer.param_groups:
        group["lr"] = lr
    values = []
    for gradients in slopes():
        for p, g in zip(holder, gradients, strict=True):
            p.grad = torch.tensor(g)
        if "clip_norm" in settings:
            torch.nn.utils.clip_grad_norm_(list(holder), settings["clip_norm"])
        optimizer.step()
        values.append([p.detach().numpy().copy() for p in holder])
    return values


CASES = [(kind, "nothing") for kind in MADE] + [
    (kind, beside) for kind in ("sgd", "momentum", "adam") for beside in BESIDE if BESIDE[beside]
]


@pytest.mark.parametrize(("kind", "beside"), CASES)
def test_it_moves_as_keras_does(kind, beside):
    made = model(MADE[kind](**BESIDE[beside]))
    ours = by_torch(made, settings_of(made, steps=STEPS))
    start = [np.array(w) for w in made.get_weights()]
    theirs = by_keras(made)
    way = max(np.abs(a - b).max() for a, b in zip(theirs[-1], start, strict=True))
    for step, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        apart = max(np.abs(a - b).max() for a, b in zip(one, other, strict=True))
        # RMSprop has its epsilon elsewhere, which the smallest gradients see
        assert apart < (0.05 if "rmsprop" in kind else 1e-4) * way, (kind, beside, step, apart, way)


def test_biases_may_be_left_out_of_the_decay():
    optimizer = O.SGD(0.1, momentum=0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    made = model(optimizer)
    settings = settings_of(made, steps=STEPS)
    ours, theirs = by_torch(made, settings), by_keras(made)
    for one, other in zip(ours[-1], theirs[-1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


SCHEDULES = {
    "exponential": lambda s: s.ExponentialDecay(0.1, 20, 0.5, staircase=True),
    "cosine with warm-up": lambda s: s.CosineDecay(0.0, 60, warmup_target=0.2, warmup_steps=10),
    "pieces": lambda s: s.PiecewiseConstantDecay([10, 40], [0.3, 0.1, 0.01]),
    "polynomial": lambda s: s.PolynomialDecay(0.1, 80, 0.001, power=2.0),
    "inverse time": lambda s: s.InverseTimeDecay(0.1, 30, 0.5),
    "restarts": lambda s: s.CosineDecayRestarts(0.1, 25),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_is_that_of_keras(kind):
    theirs = SCHEDULES[kind](keras.optimizers.schedules)
    rates = [float(theirs(step)) for step in range(100)]
    ours = settings_of(model(O.SGD(theirs)), steps=100)["schedule"]
    assert [ours(step, 100) * max(rates) for step in range(100)] == pytest.approx(rates, rel=1e-6, abs=1e-9)
    assert ours(10, 50) * max(rates) == pytest.approx(rates[20], rel=1e-6)


def test_under_accumulation_a_schedule_counts_batches():
    theirs = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    settings = settings_of(model(O.SGD(theirs, gradient_accumulation_steps=4)), steps=10)
    first = float(theirs(3))
    assert settings["accumulate"] == 4
    assert [settings["schedule"](step, 10) * first for step in range(10)] == pytest.approx(
        [float(theirs(4 * k + 3)) for k in range(10)]
    )


@pytest.mark.parametrize("made", [lambda: O.Ftrl(), lambda: O.Lion(), lambda: O.Adafactor()])
def test_one_that_torch_does_not_have_is_refused(made):
    with pytest.raises(SettingError, match=r"no counterpart.*Pass optimizer="):
        settings_of(model(made()))
    assert "optimizer" not in settings_of(model(made()), known=("optimizer",))


def test_averaged_weights_are_refused():
    with pytest.raises(SettingError, match="use_ema"):
        settings_of(model(O.Adam(use_ema=True)))
