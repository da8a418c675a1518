"""Is Keras there, and its backend?  an import -> the module ``keras``, or an error that says what to install or to set."""

from __future__ import annotations

import os

from surefoot.errors import NotInstalled

try:
    import keras
except ImportError as error:
    if error.name is None or error.name.split(".")[0] in ("tensorflow", "jax", "jaxlib", "openvino", "mlx"):
        backend = os.environ.get("KERAS_BACKEND", "tensorflow, which Keras takes where none is set")
        raise NotInstalled(
            f"Keras is there, but its backend is not ({error}): KERAS_BACKEND is {backend}. "
            "Set KERAS_BACKEND=torch before Keras is imported, or install that backend."
        ) from error
    raise NotInstalled.of("The Keras integration", error, "keras") from error

__all__ = ["keras"]
