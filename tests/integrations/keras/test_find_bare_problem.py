"""The rate found in Keras is that of the bare problem: the same network in torch (==), or its gradient by hand in the other framework."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

keras = pytest.importorskip("keras")

import numpy as np  # noqa: E402
import torch  # noqa: E402

import surefoot as sf  # noqa: E402
from surefoot.errors import ProblemError, SettingError  # noqa: E402
from surefoot.integrations.keras import find_lr, problem_of, settings_of  # noqa: E402

from . import planted  # noqa: E402

BACKEND = keras.backend.backend()
EXAMPLE = Path(__file__).parents[3] / "examples" / "keras_model.py"
X, Y = planted.data()
TRAIN, HELD_OUT = (X[:120], Y[:120]), (X[120:], Y[120:])
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def walked(problem, steps=40, lr=0.02, optimizer="adamw", **settings):
    return sf.descend(problem, lr=lr, steps=steps, optimizer=optimizer, **settings).trace


def by_torch(model):
    """The same network in plain torch."""
    start = [torch.tensor(np.array(w)) for w in model.get_weights()]

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.b, self.v, self.c = (torch.nn.Parameter(value) for value in start)

        def forward(self, x):
            return torch.tanh(x @ self.w + self.b) @ self.v + self.c

    loss = torch.nn.functional.cross_entropy
    if BACKEND == "torch":  # Keras' own formula, which rounds otherwise in the last bit
        theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

        def loss(predicted, target):
            return theirs(target, predicted)

    return sf.Problem(Twin(), TRAIN, loss=loss, validation=HELD_OUT, batch_size=40)


def by_hand(model):
    """The gradient of the framework itself, without Keras."""
    start = [np.array(w) for w in model.get_weights()]
    if BACKEND == "jax":
        import jax

        def loss(w, batch):
            logits = jax.numpy.tanh(batch[0] @ w[0] + w[1]) @ w[2] + w[3]
            return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), batch[1][:, None], 1).mean()

        both = jax.jit(jax.value_and_grad(loss))
    else:
        import tensorflow as tf

        variables = [tf.Variable(value) for value in start]

        @tf.function(reduce_retracing=True)
        def traced(x, y):
            with tf.GradientTape() as tape:
                logits = tf.matmul(tf.tanh(tf.matmul(x, variables[0]) + variables[1]), variables[2]) + variables[3]
                value = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
            return value, tape.gradient(value, variables)

        def both(w, batch):
            for variable, value in zip(variables, w, strict=True):
                variable.assign(value)
            return traced(*map(tf.constant, batch))

    return sf.Problem.of_gradient(both, start, data=TRAIN, validation=HELD_OUT, batch_size=40)


def test_the_rate_found_is_that_of_the_bare_problem():
    model = planted.dense(keras.optimizers.AdamW(1e-3, weight_decay=0.01))
    found = find_lr(model, *TRAIN, batch_size=40, validation_data=HELD_OUT, steps=64, seed=3, engine="sequential")
    settings = {"optimizer": settings_of(model)["optimizer"], "steps": 64, "seed": 3, "engine": "sequential"}
    bare = sf.find_lr(by_torch(model), **settings)
    if BACKEND == "torch":
        assert found.lr == bare.lr
        assert (found.low, found.high, found.gradients) == (bare.low, bare.high, bare.gradients)
    else:  # the kernels round otherwise than torch's
        assert found.lr == pytest.approx(bare.lr, rel=1e-3)
        assert found.lr == pytest.approx(sf.find_lr(by_hand(model), **settings).lr, rel=1e-4)


def test_it_walks_as_the_bare_problem_does():
    model = planted.dense()
    ours, bare = walked(problem_of(model, *TRAIN, batch_size=40, validation_data=HELD_OUT)), walked(by_torch(model))
    for column in ("loss", "grad_norm", "update_norm", "weight_norm", "validation_loss"):
        if BACKEND == "torch":
            np.testing.assert_array_equal(ours[column], bare[column])
        else:
            np.testing.assert_allclose(ours[column], bare[column], rtol=2e-4)


def test_a_descent_is_the_fit():
    """Moving statistics, dropout's seeds, regularizers, the loss: the descent of the problem is what fit does with the same batches."""
    model = planted.noisy(keras.optimizers.SGD(0.05, momentum=0.5))
    batches = [(TRAIN[0][k : k + 30], TRAIN[1][k : k + 30]) for k in range(0, 120, 30)]
    problem = problem_of(model, batches, validation_data=HELD_OUT)
    settings = {name: value for name, value in settings_of(model).items() if name != "steps"}
    run = sf.descend(problem, lr=0.05, steps=8, **settings)
    losses = []
    for _ in range(2):
        for x, y in batches:
            losses.append(model.train_on_batch(x, y))  # a running mean
            model.reset_metrics()
    np.testing.assert_allclose(run.trace["loss"], losses, rtol=2e-5)
    trained = [np.array(v) for v in model.trainable_variables]
    for (name, value), theirs in zip(((n, v) for n, v in run.weights.items() if not n.startswith("state")), trained, strict=True):
        np.testing.assert_allclose(value.numpy(), theirs, rtol=1e-4, atol=1e-6, err_msg=name)
    assert run.trace["validation_loss"][-1] == pytest.approx(model.evaluate(*HELD_OUT, verbose=0), rel=1e-4)


def functional():
    keras.utils.set_random_seed(0)
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    hidden = keras.layers.Dense(6, activation="tanh")(joined)
    outputs = {"which": keras.layers.Dense(3, name="which")(hidden), "sum": keras.layers.Dense(1, name="sum")(hidden)}
    model = keras.Model({"left": left, "right": right}, outputs)
    losses = {"which": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "sum": "mse"}
    model.compile(keras.optimizers.SGD(0.05), loss=losses, loss_weights={"which": 1.0, "sum": 0.25})
    return model


def test_several_inputs_outputs_and_weights_of_samples():
    model, drawn = functional(), np.random.default_rng(0)
    x, y = {"left": X[:, :3], "right": X[:, 3:]}, {"which": Y, "sum": X.sum(1, keepdims=True)}
    weights = {"which": drawn.uniform(0, 2, 160).astype("float32"), "sum": np.ones(160, "float32")}
    problem = problem_of(model, x, y, batch_size=160, sample_weight=weights, validation_data=(x, y))
    trace = walked(problem, steps=4, lr=0.05, optimizer="sgd")
    losses = []
    for _ in range(4):
        told = model.train_on_batch(x, y, sample_weight=weights, return_dict=True)
        losses.append(told["loss"])
        model.reset_metrics()
    np.testing.assert_allclose(trace["loss"], losses, rtol=1e-5)
    assert trace["validation_loss"][-1] == pytest.approx(
        model.evaluate(x, y, verbose=0, return_dict=True, batch_size=160)["loss"], rel=1e-4
    )


def test_weights_of_classes_are_those_of_fit():
    model = planted.dense(keras.optimizers.SGD(0.1))
    weights = {0: 0.5, 1: 1.0, 2: 3.0}
    trace = walked(problem_of(model, X, Y, batch_size=160, class_weight=weights), steps=1, lr=0.1, optimizer="sgd")
    assert trace["loss"][0] == pytest.approx(model.train_on_batch(X, Y, class_weight=weights), rel=1e-5)


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[40 * index : 40 * index + 40], Y[40 * index : 40 * index + 40]


def test_what_yields_batches():
    model, whole = planted.dense(), walked(problem_of(planted.dense(), Sequence()), steps=12)
    batches = [Sequence()[index] for index in range(4)]
    assert walked(problem_of(model, batches), steps=12) == whole
    if BACKEND == "tensorflow":
        import tensorflow as tf

        assert walked(problem_of(model, tf.data.Dataset.from_tensor_slices((X, Y)).batch(40)), steps=12) == whole
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=40)
    assert walked(problem_of(model, loader), steps=12) == whole
    assert find_lr(planted.dense(), Sequence(), epochs=16, validation_data=HELD_OUT).steps == 64


@pytest.mark.parametrize("built", [False, True])
def test_nothing_of_the_model_is_changed(built):
    model = planted.noisy()
    if built:
        model.fit(*TRAIN, epochs=1, verbose=0)
    before = planted.everything(model)
    find_lr(model, *TRAIN, batch_size=40, validation_data=HELD_OUT, steps=60)
    assert planted.everything(model) == before

    def broken(*_):
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        find_lr(model, *TRAIN, batch_size=40, steps=60, progress=broken)
    assert planted.everything(model) == before


def test_a_fit_after_a_search_is_the_fit_without():
    histories = []
    for search in (False, True):
        model = planted.noisy(seed=4)
        if search:
            find_lr(model, *TRAIN, batch_size=40, steps=60)
        histories.append((model.fit(*TRAIN, epochs=2, verbose=0).history, [w.tobytes() for w in model.get_weights()]))
    assert histories[0] == histories[1]


def test_misuse():
    fresh = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    with pytest.raises(ProblemError, match=r"not compiled: call model\.compile"):
        find_lr(fresh, X, Y)
    fresh.compile("adam")
    with pytest.raises(ProblemError, match="compiled without a loss"):
        find_lr(fresh, X, Y)
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    unbuilt.compile("adam", "mse")
    with pytest.raises(ProblemError, match=r"no weights yet: call model\.build"):
        find_lr(unbuilt, X, Y)
    with pytest.raises(ProblemError, match="needed, got a Linear"):
        find_lr(torch.nn.Linear(1, 1), X, Y)
    model = planted.dense()
    with pytest.raises(ProblemError, match="one-shot generator"):
        find_lr(model, ((X, Y) for _ in range(3)))
    with pytest.raises(SettingError, match="not both"):
        find_lr(model, X, Y, steps=100, epochs=2)
    with pytest.raises(SettingError, match="class_weight or sample_weight, not both"):
        find_lr(model, X, Y, class_weight={0: 1.0}, sample_weight=np.ones(160))
    with pytest.raises(ProblemError, match="count the same samples, got 100, 160"):
        find_lr(model, X, Y[:100])
    with pytest.raises(SettingError, match="keeps its own batches"):
        find_lr(model, Sequence(), batch_size=8)
    with pytest.raises(SettingError, match="Pass optimizer="):
        find_lr(planted.dense("lion"), X, Y)
    model.trainable = False
    with pytest.raises(ProblemError, match="no trainable weight"):
        find_lr(model, X, Y)


def test_numbers_that_make_no_sense():
    model = planted.dense()
    for epochs in (0, -2, "3", float("nan")):
        with pytest.raises(SettingError, match="epochs must be a positive number"):
            find_lr(model, X, Y, epochs=epochs)
    for steps in (0, -3, 1.5):
        with pytest.raises(SettingError, match="steps must be a positive int"):
            find_lr(model, X, Y, steps=steps)
    for batch_size in (0, -3, 2.5):
        with pytest.raises(SettingError, match="batch_size must be a positive int or None"):
            find_lr(model, X, Y, batch_size=batch_size)
    with pytest.raises(ProblemError, match="a list of numbers is no array"):
        find_lr(model, X, Y.tolist())
    with pytest.raises(ProblemError, match="there are none: give y"):
        find_lr(model, X)


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        at = 32 * (index % 5)
        return X[at : at + 32], Y[at : at + 32]


def test_batches_without_end():
    found = find_lr(planted.dense(), Endless(), steps=60)
    assert found.lr == find_lr(planted.dense(), [Endless()[index] for index in range(5)], steps=60).lr
    with pytest.raises(SettingError, match=r"5 epochs are no number of steps. Pass steps="):
        find_lr(planted.dense(), Endless(), epochs=5)


def test_held_out_data_may_be_a_list():
    one, other = (problem_of(planted.dense(), *TRAIN, validation_data=kind(HELD_OUT)) for kind in (tuple, list))
    assert walked(one) == walked(other)


def test_weights_of_classes_for_batches():
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    whole = [(X[i : i + 40], Y[i : i + 40], np.array([weights[y] for y in Y[i : i + 40]], "float32")) for i in range(0, 160, 40)]
    one = problem_of(planted.dense(), whole)
    other = problem_of(planted.dense(), [batch[:2] for batch in whole], class_weight=weights)
    assert walked(one) == walked(other)
    with pytest.raises(SettingError, match="class_weight or batches with sample weights, not both"):
        problem_of(planted.dense(), whole, class_weight=weights)


def test_a_loader_that_shuffles_leaves_the_random_state():
    rows = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
    model = planted.dense()
    before = planted.everything(model)
    find_lr(model, torch.utils.data.DataLoader(rows, 40, shuffle=True), steps=60)
    assert planted.everything(model) == before


def test_mixed_precision_takes_the_optimizer_inside():
    rates = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model = planted.half(keras.optimizers.SGD(rates, momentum=0.9, global_clipnorm=2.0))
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    plain = settings_of(planted.dense(keras.optimizers.SGD(rates, momentum=0.9, global_clipnorm=2.0)), steps=20)
    made = settings_of(model, steps=20)
    assert made["optimizer"].keywords == plain["optimizer"].keywords
    assert [made["schedule"](i, 20) for i in range(20)] == [plain["schedule"](i, 20) for i in range(20)]
    assert made["clip_norm"] == 2.0
    half, whole = (
        walked(problem_of(each, *TRAIN, batch_size=40), optimizer="sgd") for each in (planted.half("sgd"), planted.dense("sgd"))
    )
    assert half["loss"] == pytest.approx(whole["loss"], rel=5e-3)


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # the copy's has no state yet; none is needed
def test_it_can_be_sent_to_another_process_on_torch():
    model = planted.noisy("sgd")
    before = planted.everything(model)
    problem = problem_of(model, *TRAIN, batch_size=40)
    if BACKEND != "torch":
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(problem)
        return
    sent = pickle.dumps(problem)
    assert planted.everything(model) == before
    assert walked(problem, optimizer="sgd") == walked(pickle.loads(sent), optimizer="sgd")


def test_what_fits_is_tried_without_a_fork(monkeypatch):
    def forked():
        raise AssertionError("forked")

    if BACKEND == "torch":
        pytest.skip("torch alone may be forked")
    monkeypatch.setattr(os, "fork", forked)
    assert sf.find_batch_size(problem_of(planted.dense(), *TRAIN), steps=300).batch_size >= 1


def test_a_train_step_of_its_own_is_refused():
    class Own(keras.Sequential):
        def train_step(self, *args):
            return {}

    model = Own([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile("adam", "mse")
    with pytest.raises(ProblemError, match=r"train_step of its own.*of_gradient"):
        find_lr(model, X, Y)


def test_without_keras_the_extra_is_named():
    code = "import sys; sys.modules['keras'] = None\ntry:\n import surefoot.integrations.keras\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert 'pip install "surefoot[keras]"' in done.stdout, done.stderr


def test_without_its_backend_the_setting_is_named():
    missing = next((name for name in ("tensorflow", "jax") if importlib.util.find_spec(name) is None), None)
    if missing is None:
        pytest.skip("every backend is installed here")
    code = "try:\n import surefoot.integrations.keras\nexcept ImportError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, "KERAS_BACKEND": missing}
    )
    assert "Set KERAS_BACKEND=torch" in done.stdout, done.stderr


def test_the_example_runs():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "learning rate" in done.stdout


def test_the_docstrings_are_true():
    import doctest

    from surefoot.integrations import keras as module
    from surefoot.integrations import keras_watch

    names = {"keras": keras, "np": np}
    for each in (module, keras_watch):
        assert doctest.testmod(each, extraglobs=names).failed == 0
