"""What the callback tells of a fit: the losses of the batches and not their running mean, the weights' own norms, and no footprint."""

import time

import pytest

keras = pytest.importorskip("keras")

import numpy as np  # noqa: E402

from surefoot.errors import SettingError  # noqa: E402
from surefoot.integrations.keras import Watch  # noqa: E402

from . import planted  # noqa: E402

BACKEND = keras.backend.backend()
X, Y = planted.data()
TRAIN, HELD_OUT = (X[:120], Y[:120]), (X[120:], Y[120:])
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def fitted(model, seen=(), epochs=2, **settings):
    callbacks = [seen] if isinstance(seen, Watch) else []
    return model.fit(*TRAIN, batch_size=50, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks, **settings)


def by_hand(model, batches=((0, 50), (50, 100), (100, 120)), epochs=2):
    """Loss, length of the weights and of their change for each batch, by a fit of that batch alone."""
    rows = []
    for _ in range(epochs):
        for first, last in batches:
            before = np.concatenate([np.array(v).ravel() for v in model.trainable_variables])
            batch = TRAIN[0][first:last], TRAIN[1][first:last]
            loss = model.fit(*batch, batch_size=last - first, shuffle=False, verbose=0).history["loss"][0]
            after = np.concatenate([np.array(v).ravel() for v in model.trainable_variables])
            rows.append((float(loss), np.linalg.norm(before), np.linalg.norm(after - before)))
    return np.array(rows).T


def test_losses_are_those_that_keras_computes():
    """Heard where Keras computes them; with moving statistics, dropout and a regularizer. Other backends compute them in a trace."""
    if BACKEND != "torch":
        pytest.skip("only torch computes them where they can be heard")
    seen, heard, model = Watch(), [], planted.noisy()
    compute = type(model).compute_loss

    def hearing(*args, **kwargs):
        loss = compute(model, *args, **kwargs)
        if kwargs.get("training"):
            heard.append(loss.item())
        return loss

    object.__setattr__(model, "compute_loss", hearing)
    fitted(model, seen)
    np.testing.assert_allclose(seen.trace["loss"], heard, rtol=1e-6)


# on torch every new fit draws a seed of its own before its first batch
@pytest.mark.parametrize("make", [planted.dense, *([] if BACKEND == "torch" else [planted.noisy])])
def test_rows_are_those_of_keras_own_steps(make):
    seen = Watch(norms=1)
    fitted(make(keras.optimizers.SGD(0.1)), seen)
    losses, lengths, updates = by_hand(make(keras.optimizers.SGD(0.1)))
    trace = seen.trace
    np.testing.assert_allclose(trace["loss"], losses, rtol=2e-6)
    np.testing.assert_allclose(trace["weight_norm"], lengths, rtol=1e-6)
    np.testing.assert_allclose(trace["update_norm"], updates, rtol=1e-4)
    np.testing.assert_allclose(trace["epoch"], [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3])
    assert trace["lr"].tolist() == pytest.approx([0.1] * 6)
    if BACKEND == "torch":  # of plain gradient descent the update is the gradient times the rate
        np.testing.assert_allclose(trace["grad_norm"], updates / 0.1, rtol=1e-4)
    else:
        assert np.isnan(trace["grad_norm"]).all()
        assert "grad_norm is NaN" in seen.note


def test_the_validation_loss_stands_at_the_end_of_its_epoch():
    seen = Watch(norms=2)
    history = fitted(planted.dense(), seen, validation_data=HELD_OUT).history
    told = seen.trace["validation_loss"]
    assert told[[2, 5]].tolist() == history["val_loss"]
    assert np.isnan(told[[0, 1, 3, 4]]).all()
    losses = seen.trace["loss"].reshape(2, 3)  # validation begins Keras' sum anew; the last batch of an epoch must not suffer
    np.testing.assert_allclose(losses @ np.array([50, 50, 20]) / 120, history["loss"], rtol=1e-6)
    assert np.isfinite(seen.trace["update_norm"]).tolist() == [True, False] * 3


def test_a_schedule_and_a_rate_that_is_set():
    theirs = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    seen = Watch()
    fitted(planted.dense(keras.optimizers.SGD(theirs)), seen)
    assert seen.trace["lr"] == pytest.approx([float(theirs(k)) for k in range(6)])
    seen, model = Watch(), planted.dense(keras.optimizers.SGD(0.1))
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else lr)
    model.fit(*TRAIN, batch_size=50, epochs=2, verbose=0, callbacks=[seen, halve])
    assert seen.trace["lr"] == pytest.approx([0.1] * 3 + [0.05] * 3)


def test_several_steps_in_one_execution():
    if BACKEND == "torch":
        pytest.skip("Keras on torch takes one step at a time")
    seen = Watch(norms=1)
    fitted(planted.dense(keras.optimizers.SGD(0.1), steps_per_execution=3), seen)
    losses = by_hand(planted.dense(keras.optimizers.SGD(0.1)))[0].reshape(2, 3)
    np.testing.assert_allclose(seen.trace["loss"], losses @ np.array([50, 50, 20]) / 120, rtol=1e-5)
    assert seen.trace["step"].tolist() == [0, 3]
    assert np.isnan(seen.trace["update_norm"]).all()
    assert "steps_per_execution=3" in seen.note


def test_accumulated_batches_are_measured_where_they_end_in_an_update():
    seen = Watch(norms=1)
    fitted(planted.dense(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)), seen)
    assert np.isfinite(seen.trace["update_norm"]).tolist() == [False, False, True] * 2
    assert (seen.trace["update_norm"][2::3] > 0).all()


@pytest.mark.parametrize("compiled", [{}, {"jit_compile": True}, {"run_eagerly": True}, {"metrics": ["accuracy"]}])
def test_the_training_is_the_same_with_and_without(compiled):
    if BACKEND == "torch" and compiled.get("jit_compile"):
        compiled = {}  # the compiler of torch takes minutes here
    after = []
    for seen in ((), Watch(norms=1, every=None)):
        model = planted.noisy(seed=2, **compiled)
        history = fitted(model, seen, validation_data=HELD_OUT).history
        after.append((history, planted.everything(model)[0], planted.everything(model)[1]))
    assert after[0] == after[1]
    assert seen.watching
    assert len(seen.trace) == 6


class Tracker:
    def __init__(self, fails=False):
        self.lengths, self.fails = [], fails

    def send(self, trace):
        self.lengths.append(len(trace))
        if self.fails:
            raise OSError("no disk")


def test_lines_and_trackers(capsys):
    one, other = Tracker(), Tracker()
    seen = Watch(norms=1, every=2, to=[one, other])
    fitted(planted.dense(), seen)
    assert one.lengths == other.lengths == [2, 4, 6, 6]
    lines = capsys.readouterr().err.splitlines()
    assert [each.split("  ")[0] for each in lines] == ["step 1", "step 3", "step 5"]
    assert seen.diagnosis.verdict
    assert set(seen.ratios) == {v.path for v in planted.dense().trainable_variables}


def test_an_error_of_the_watching_ends_the_watching_alone():
    seen = Watch(every=2, to=Tracker(fails=True))
    history = fitted(planted.dense(), seen).history
    assert len(history["loss"]) == 2
    assert not seen.watching
    assert seen.note == "The watching ended at step 2: OSError: no disk"


def test_a_fit_that_raises_leaves_what_was_seen():
    class Raises(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise RuntimeError("enough")

    seen = Watch(norms=1)
    with pytest.raises(RuntimeError, match="enough"):
        planted.dense().fit(*TRAIN, batch_size=50, verbose=0, callbacks=[seen, Raises()])
    assert len(seen.trace) == 1


def test_misuse():
    for wrong in (0, 1.5, True):
        with pytest.raises(SettingError, match="norms must be an int of at least 1"):
            Watch(norms=wrong)
    with pytest.raises(SettingError, match="Values can be sent to a SummaryWriter"):
        Watch(to=3)


def test_under_loss_scaling_the_rate_and_the_gradient_are_those_inside():
    seen, plain = Watch(norms=1), Watch(norms=1)
    scaled = planted.half(keras.optimizers.SGD(0.01))
    scaled.optimizer.initial_scale = 1024.0  # Keras begins with 32,768, at which the first steps may overflow
    fitted(scaled, seen)
    fitted(planted.dense(keras.optimizers.SGD(0.01)), plain)
    assert seen.trace["lr"] == pytest.approx(plain.trace["lr"])
    assert seen.trace["grad_norm"] == pytest.approx(plain.trace["grad_norm"], rel=0.02, nan_ok=True)


def test_a_step_that_overflows_is_not_counted_by_the_schedule():
    seen = Watch()
    model = planted.half(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)))
    model.optimizer.initial_scale = 2.0**40  # infinite in float16, and halved at each step, as the last of these still is
    fitted(model, seen)
    assert seen.trace["lr"] == pytest.approx([0.01] * len(seen.trace))


def test_fits_of_one_model_go_on_and_another_model_begins_anew():
    seen, model = Watch(), planted.dense()
    time.sleep(0.3)
    for _ in range(2):
        fitted(model, seen)
    per_epoch = len(seen.trace) // 4
    assert seen.trace["epoch"] == pytest.approx(np.arange(4 * per_epoch) / per_epoch)
    assert seen.trace["step"].tolist() == list(range(4 * per_epoch))
    began = time.perf_counter()
    fitted(planted.dense(), seen)
    assert len(seen.trace) == 2 * per_epoch
    assert seen.trace["seconds"][-1] < time.perf_counter() - began


def test_a_train_step_that_leaves_the_mean_of_the_loss_alone_is_named():
    class Own(keras.Sequential):
        def train_step(self, *given):
            return ({"loss": 0.0}, given[0]) if BACKEND == "jax" else {"loss": 0.0}

    model = Own([keras.Input((5,)), keras.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    seen = Watch()
    fitted(model, seen)
    assert np.isnan(seen.trace["loss"]).all()
    assert "update_state(loss)" in seen.note
