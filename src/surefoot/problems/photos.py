"""Cleaning noisy pictures.  Two photographs -> small squares of them with noise, and a network that takes the noise away."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.problem import Problem
from surefoot.problems import options
from surefoot.problems.initial import seeded

SIDE = 8  # pixels: the square of JPEG, the same grid for every patch, so that no two overlap
HELD_OUT = 0.2  # of each photograph's width, at its right edge
Patches: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


def photo_patches(noise: float = 0.1, seed: int = 0) -> Problem:
    """A denoising autoencoder on the squares of 8 x 8 pixels of two colour photographs.

    The noise is drawn once. The right fifth of each photograph is held out, so that held-out pixels are never learnt from.

    Args:
        noise: standard deviation of the Gaussian noise on every pixel, on a scale from 0 (black) to 1 (white), 0 or more.
        seed: what the noise and the first weights are drawn from, 0 or more.

    Returns:
        A problem with inputs and targets of shape (patches, 192); returning the input unchanged costs ``noise ** 2``.

    Raises:
        SettingError: an option makes no sense.

    Example:
        >>> problem = photo_patches()
        >>> [len(part[0]) for part in (problem.data, problem.validation)]
        [6784, 1696]
    """
    from sklearn.datasets import load_sample_images

    strength = options.number("noise", noise)
    random = np.random.default_rng(options.count("seed", seed, least=0))
    grids = [_grid(image) for image in load_sample_images().images]
    border = round((1 - HELD_OUT) * grids[0].shape[1])

    def part(columns: slice) -> tuple[Tensor, Tensor]:
        clean = np.concatenate([grid[:, columns].reshape(-1, grid.shape[-1]) for grid in grids])
        noisy = clean + strength * random.standard_normal(clean.shape, dtype=np.float32)
        return torch.from_numpy(noisy.astype(np.float32)), torch.from_numpy(clean)

    return Problem(
        seeded(_autoencoder, seed),
        part(slice(None, border)),
        loss=nn.functional.mse_loss,
        validation=part(slice(border, None)),
        batch_size=64,
        name="photo-patches",
        source="the photographs china.jpg and flower.jpg that scikit-learn ships, in squares of 8 x 8 pixels "
        f"with Gaussian noise of {strength:g}; the right fifth of each is held out",
    )


def _grid(image: Any) -> Patches:
    """The squares of a photograph, flattened: (rows, columns, side * side * colours); what is left over at the edges is cut off."""
    rows, columns = image.shape[0] // SIDE, image.shape[1] // SIDE
    cut = image[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, -1)
    flat: Patches = cut.swapaxes(1, 2).reshape(rows, columns, -1).astype(np.float32) / np.float32(255)
    return flat


def _autoencoder() -> nn.Module:
    size = SIDE * SIDE * 3
    return nn.Sequential(
        nn.Linear(size, 128),
        nn.ReLU(),
        nn.Linear(128, 48),
        nn.ReLU(),
        nn.Linear(48, 128),
        nn.ReLU(),
        nn.Linear(128, size),
    )
