"""Small Keras models, their data, and everything of them that a search must leave as it was."""

import pickle
import random

import keras
import numpy as np
import torch


def data(count=160, inputs=5, classes=3):
    drawn = np.random.default_rng(0)
    x = drawn.standard_normal((count, inputs)).astype("float32")
    return x, (x @ drawn.standard_normal((inputs, classes))).argmax(1)


def dense(optimizer="adam", seed=0, **compiled):
    """Deterministic: no dropout, no statistics."""
    seeded(seed)
    layers = [keras.Input((5,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    return made(layers, optimizer, **compiled)


def half(optimizer):
    """`dense` under ``mixed_float16``, for which Keras wraps the optimizer."""
    seeded(0)  # which would take the policy back
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return made([keras.Input((5,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)], optimizer)
    finally:
        keras.config.set_dtype_policy("float32")


def noisy(optimizer="adam", seed=0, **compiled):
    """With a state beside its weights: moving statistics and the seed of dropout; and a loss of its own layers."""
    seeded(seed)
    layers = [
        keras.Input((5,)),
        keras.layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.01)),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(3),
    ]
    return made(layers, optimizer, **compiled)


def seeded(seed):
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def made(layers, optimizer, **compiled):
    drawn = np.random.default_rng(1)
    model = keras.Sequential(layers)
    model.set_weights([w + 0.3 * drawn.standard_normal(w.shape).astype("float32") ** 2 for w in model.get_weights()])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compiled)
    return model


def everything(model):
    """What a search must leave: weights, seeds, moving statistics, optimizer, metrics, compiled state, gradients, random state."""
    held = [
        np.array(keras.ops.convert_to_numpy(v.value))
        for v in (*model.variables, *model.optimizer.variables, *model.metrics_variables)
    ]
    generator = keras.src.backend.common.global_state.get_global_attribute("global_seed_generator")
    seed = None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state.value)).tolist()
    public = sorted(name for name in vars(model) if name not in ("_losses", "_loss_ids"))
    compiled = (model._compile_loss.built, model.optimizer.built, model.train_function, model.test_function, model.compiled)
    gradients = [getattr(v.value, "grad", None) is None for v in model.variables]
    drawn = (random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist())  # noqa: NPY002
    return [a.tobytes() for a in held], seed, public, compiled, gradients, drawn, model.get_config()
