"""Everything random that a step touches, taken and put back.  generators -> their state, and a world of one's own."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch


def random_state(carried: Sequence[Any] = ()) -> dict[str, Any]:
    """The state of every global random generator (Python's, NumPy's, torch's, CUDA's) and of those the data carries.

    Args:
        carried: generators found by `carried_generators`.

    Returns:
        Tensors and plain values only, so that it can be saved and loaded without executing anything.

    Example:
        >>> before = random_state()
        >>> drawn = torch.rand(1)
        >>> set_random_state(before)
        >>> bool(drawn == torch.rand(1))
        True
        >>> set_random_state(before)
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  what users' code draws from
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
        "carried": [_state_of(generator) for generator in carried],
    }


def set_random_state(state: Mapping[str, Any], carried: Sequence[Any] = ()) -> None:
    """Puts back what `random_state` took."""
    for generator, kept in zip(carried, state["carried"], strict=False):
        _put_back(generator, kept)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_everything(seed: int) -> None:
    """Seeds every global random generator, as a careful training script would."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  what users' code draws from
    torch.manual_seed(seed)


def fresh_seed() -> int:
    """A seed from the system's entropy (a bare ``torch.Generator()`` has a constant one)."""
    return int.from_bytes(os.urandom(8), "big") >> 2


class World:
    """A random state of its own, entered and left: what happens inside leaves no trace outside, and the other way round."""

    def __init__(self, state: Mapping[str, Any], carried: Sequence[Any] = ()) -> None:
        self._state, self.carried = state, carried
        self._inside = False

    @classmethod
    def seeded(cls, seed: int, carried: Sequence[Any] = ()) -> World:
        """The world as it is after seeding the global generators with ``seed``; the carried ones stay as they are."""
        outside = random_state()
        try:
            seed_everything(seed)
            return cls(random_state(carried), carried)
        finally:
            set_random_state(outside)

    @property
    def state(self) -> Mapping[str, Any]:
        """This world's random state, whether one is inside just now or not."""
        return random_state(self.carried) if self._inside else self._state

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, the generators are this world's; afterwards they are again what they were."""
        self._outside = random_state(self.carried)
        set_random_state(self._state, self.carried)
        self._inside = True
        try:
            yield
        finally:
            self._state = random_state(self.carried)
            self._inside = False
            set_random_state(self._outside, self.carried)

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Within `entered`: for a while the generators are again those from outside, which keep what happens to them."""
        if not self._inside:
            yield
            return
        self._state = random_state(self.carried)
        self._inside = False
        set_random_state(self._outside, self.carried)
        try:
            yield
        finally:
            self._outside = random_state(self.carried)
            self._inside = True
            set_random_state(self._state, self.carried)


def carried_generators(*owners: Any) -> list[Any]:
    """The random generators that loaders, their samplers and their datasets bring along, in a fixed order."""
    found: dict[int, Any] = {}
    waiting, seen = list(owners), set()
    while waiting:
        owner = waiting.pop(0)
        if owner is None or id(owner) in seen:
            continue
        seen.add(id(owner))
        parts = list(getattr(owner, "__dict__", {}).values())
        found.update({id(part): part for part in parts if isinstance(part, _GENERATORS)})
        waiting += [getattr(owner, name, None) for name in ("sampler", "batch_sampler", "dataset")]
    return list(found.values())


_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        version, words, gauss = generator.getstate()
        return [version, list(words), gauss]
    bits = generator._bit_generator if isinstance(generator, np.random.RandomState) else generator.bit_generator
    return _plain(bits.state)


def _put_back(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate((state[0], tuple(state[1]), state[2]))
    else:
        bits = generator._bit_generator if isinstance(generator, np.random.RandomState) else generator.bit_generator
        bits.state = state


def _plain(state: Any) -> Any:
    """NumPy's state with lists for arrays: what a file may hold that is loaded without executing anything."""
    if isinstance(state, Mapping):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
