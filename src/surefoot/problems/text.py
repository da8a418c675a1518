"""Guessing the next character.  The source files of Python's standard library -> windows of text, and a small transformer."""

from __future__ import annotations

import math
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import ProblemError, SettingError
from surefoot.problem import Problem
from surefoot.problems import options
from surefoot.problems.initial import seeded

# modules that are one file each in every Python from 3.11 on; about 1 MB and 0.1 MB
LEARN = (
    *("argparse", "ast", "calendar", "configparser", "csv", "dataclasses", "difflib", "enum", "functools"),
    *("inspect", "pickle", "random", "shutil", "statistics", "subprocess", "textwrap", "threading"),
)
HELD_OUT = ("bisect", "fractions", "heapq", "tempfile")

# newline and the printable characters of ASCII; every other character is read as the last of the alphabet
ALPHABET = "\n" + "".join(map(chr, range(32, 127))) + "\ufffd"
HEAD = 16  # width of an attention head


def text(context: int = 64, width: int = 64, layers: int = 2, seed: int = 0) -> Problem:
    """A causal transformer that guesses the next character of Python's own source files.

    Args:
        context: characters that a guess can look back on, 1 or more; also the length of the windows.
        width: numbers per character inside the network, a multiple of 16.
        layers: how many blocks of attention and dense layers, 1 or more; width 256 and 4 layers make three million weights.
        seed: what the first weights are drawn from, 0 or more.

    Returns:
        A problem whose inputs and targets are (windows, context) int64 characters, the targets one character ahead. Whole files
        are held out. Guessing at random costs ``log(97)`` = 4.57.

    Raises:
        SettingError: an option makes no sense.
        ProblemError: this Python has come without the source files of its library.

    Example:
        >>> problem = text(context=32)
        >>> problem.data[0].shape[1], problem.model(problem.data[0][:5]).shape
        (32, torch.Size([5, 32, 97]))
    """
    length, depth = options.count("context", context), options.count("layers", layers)
    if options.count("width", width) % HEAD:
        raise SettingError(f"width must be a multiple of {HEAD}, got {width}.")
    return Problem(
        seeded(lambda: Transformer(length, width, depth), seed),
        _windows(LEARN, length),
        loss=per_character,
        validation=_windows(HELD_OUT, length),
        batch_size=64,
        name="text",
        source="the source files of Python's standard library on this machine: "
        f"{', '.join(LEARN)}; held out: {', '.join(HELD_OUT)}",
    )


def per_character(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross entropy in nats per character: (windows, context, 97) and (windows, context) -> a scalar."""
    return nn.functional.cross_entropy(prediction.flatten(0, 1), target.flatten())


class Transformer(nn.Module):
    """A causal transformer with learnt positions: (windows, characters) int64 -> (windows, characters, 97) logits."""

    def __init__(self, context: int, width: int, layers: int) -> None:
        super().__init__()
        self.character = nn.Embedding(len(ALPHABET), width)
        self.position = nn.Parameter(torch.randn(context, width))
        self.blocks = nn.Sequential(*(Block(context, width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Linear(width, len(ALPHABET))

    def forward(self, characters: Tensor) -> Tensor:
        """The logits of the character after each."""
        hidden = self.character(characters) + self.position[: characters.shape[-1]]
        return cast(Tensor, self.guess(self.norm(self.blocks(hidden))))


class Block(nn.Module):
    """Attention, then a dense layer, each added to what comes in."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_dense = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(context, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        """(windows, characters, width) -> the same shape."""
        hidden = hidden + self.attention(self.before_attention(hidden))
        return cast(Tensor, hidden + self.dense(self.before_dense(hidden)))


class Attention(nn.Module):
    """Causal self-attention in heads of 16, written out: the fused kernels have no second derivative."""

    future: Tensor

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.register_buffer("future", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(windows, characters, width) -> the same shape."""
        length, width = hidden.shape[-2:]
        heads = self.ask(hidden).unflatten(-1, (3, width // HEAD, HEAD))
        query, key, value = heads.transpose(-4, -2).unbind(-3)
        scores = (query @ key.transpose(-1, -2) / math.sqrt(HEAD)).masked_fill(self.future[:length, :length], -math.inf)
        mixed = scores.softmax(-1) @ value
        return cast(Tensor, self.answer(mixed.transpose(-3, -2).flatten(-2)))


def _windows(modules: Iterable[str], context: int) -> tuple[Tensor, Tensor]:
    """The text of the modules in consecutive windows, and the same one character ahead."""
    characters = _encode(_read(modules))
    count = (len(characters) - 1) // context
    if not count:
        raise SettingError(f"context={context} is longer than the text, which has {len(characters):,} characters.")
    inputs, targets = characters[: count * context], characters[1 : count * context + 1]
    return inputs.reshape(count, context), targets.reshape(count, context)


def _read(modules: Iterable[str]) -> str:
    folder = Path(sysconfig.get_path("stdlib"))
    files = [folder / f"{module}.py" for module in modules]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ProblemError(
            f"The problem 'text' reads the source files of Python's standard library, but {', '.join(missing)} is not in {folder}. "
            "This Python has come without them; use one installed from python.org, a package manager or conda."
        )
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _encode(content: str) -> Tensor:
    place = {character: index for index, character in enumerate(ALPHABET)}
    other = len(ALPHABET) - 1
    return torch.from_numpy(np.array([place.get(character, other) for character in content], dtype=np.int64))
