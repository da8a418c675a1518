"""One small network in plain torch, its weights as NumPy arrays and its data: the twin that every framework is held against."""

import numpy as np
import torch

import surefoot as sf

TRAIN, HELD_OUT, INPUTS, HIDDEN, CLASSES, STEPS = 200, 80, 5, 12, 3, 120


def data():
    drawn = np.random.default_rng(0)
    x = drawn.standard_normal((TRAIN + HELD_OUT, INPUTS)).astype(np.float32)
    y = (x @ drawn.standard_normal((INPUTS, CLASSES))).argmax(1)
    return (x[:TRAIN], y[:TRAIN]), (x[TRAIN:], y[TRAIN:])


def weights(kind=np.float32):
    """Nested, its keys in no alphabetical order, two arrays of one shape side by side."""
    drawn = np.random.default_rng(1)
    first, last = drawn.standard_normal((INPUTS, HIDDEN)) / 2, drawn.standard_normal((HIDDEN, CLASSES)) / 3
    return {
        "hidden": {"weight": first.astype(kind), "bias": np.zeros(HIDDEN, kind), "alpha": np.ones(HIDDEN, kind)},
        "out": [last.astype(kind), np.zeros(CLASSES, kind)],
    }


class Twin(torch.nn.Module):
    def __init__(self, kind=np.float32):
        super().__init__()
        start = weights(kind)
        self.w, self.b, self.a = (
            torch.nn.Parameter(torch.from_numpy(start["hidden"][name])) for name in ("weight", "bias", "alpha")
        )
        self.v, self.c = (torch.nn.Parameter(torch.from_numpy(part)) for part in start["out"])

    def forward(self, x):
        return torch.tanh(x @ self.w + self.b) * self.a @ self.v + self.c


def twin(kind=np.float32, **settings):
    train, held_out = data()
    settings = {"validation": held_out, "batch_size": 32, **settings}
    return sf.Problem(Twin(kind), train, loss=torch.nn.functional.cross_entropy, **settings)


def assert_same_walk(problem, other=None, optimizer="adamw", rel=2e-4):
    settings = {
        "lr": {"sgd": 0.5, "adamw": 0.02}[optimizer],
        "steps": STEPS,
        "optimizer": optimizer,
        "schedule": "cosine",
        "clip_norm": 5.0,
    }
    one, two = sf.descend(problem, **settings), sf.descend(other or twin(), **settings)
    for column in ("loss", "grad_norm", "update_norm", "weight_norm", "validation_loss"):
        np.testing.assert_allclose(one.trace[column], two.trace[column], rtol=rel, err_msg=column)
    assert one.trace["loss"][-20:].mean() < one.trace["loss"][:20].mean() / 2  # it did learn
    return one, two


def assert_same_answers(problem):
    """Find, diagnose and landscape say of the problem what they say of the twin."""
    found, known = sf.find_lr(problem, steps=STEPS), sf.find_lr(twin(), steps=STEPS, engine="sequential")
    assert abs(found.lr / known.lr - 1) < 1e-3
    assert (found.engine, found.gradients) == ("sequential", known.gradients)
    for lr in (1e-4, 0.05):
        ran, other = (sf.descend(each, lr=lr, steps=STEPS) for each in (problem, twin()))
        assert sf.diagnose(ran, problem).verdict == sf.diagnose(other, twin()).verdict
    shown, truth = sf.landscape(problem, [ran], resolution=5), sf.landscape(twin(), [other], resolution=5)
    np.testing.assert_allclose(shown.loss, truth.loss, rtol=1e-3)
    curved, exact = sf.spectrum(problem, data=100), sf.spectrum(twin(), data=100)
    assert abs(curved.largest / exact.largest - 1) < 5e-3
    assert abs(curved.smallest - exact.smallest) < 5e-3 * exact.largest
