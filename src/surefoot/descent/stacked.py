"""Many copies of one set of weights, and the stock optimizer over all of them.  model + optimizer + K -> tensors with a first axis of K.

The trainable weights of the K copies are the rows of one tensor of shape (K, weights); every parameter is a view of it, of shape
(K, *its own). The optimizer moves them in one of two ways:

- `Together`: one optimizer over the rows at the largest of the rates, then each row goes its own share of the way. Exact for optimizers
  whose update is element-wise and proportional to the rate, which those in ``PROPORTIONAL`` are.
- `Apart`: one optimizer per copy, over views. Exact for every optimizer, and the only way when the copies' optimizers differ.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.descent import optimizer as optimizers
from surefoot.descent.joined import offsets

# Their update is a function of the history of gradients and weights, element by element, times the rate. Not so: ASGD (its decay depends
# on the rate), Rprop (the rate is only its first step), LBFGS, Muon and Adafactor (rows and columns), and whatever third parties write.
PROPORTIONAL = {
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax,
    torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.RMSprop,
}  # fmt: skip
FUSED = {
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adagrad,
}  # have an implementation in one pass, on CPUs too

COUNTS = {"step", "mu_product"}  # what these remember once for all weights of a tensor


class Unbatchable(Exception):
    """These copies cannot be walked in one pass; the message says why, and they are walked one after the other."""


@dataclass(frozen=True)
class Slot:
    """Where a parameter lies in a row."""

    name: str
    index: int  # of the parameter in the optimizer's order
    group: int  # of the optimizer
    offset: int
    shape: torch.Size

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.shape.numel()

    def of(self, rows: Tensor) -> Tensor:
        """The parameter's share of rows of shape (K, weights), as a view of shape (K, *shape)."""
        return rows[:, self.offset : self.end].view(-1, *self.shape)


def slots(model: nn.Module, optimizer: Optimizer, unused: Collection[str] = ()) -> list[Slot]:
    """The places of the trainable parameters, group by group in the optimizer's order.

    Args:
        model: the model.
        optimizer: its optimizer.
        unused: parameters that no gradient reaches; optimizers pass over them, and so they need no copies.

    Raises:
        Unbatchable: the parameters do not make a row.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    held = [(group, p) for group, entry in enumerate(optimizer.param_groups) for p in entry["params"]]
    if not {id(p) for _, p in held} <= set(names):
        raise Unbatchable("the optimizer holds weights that are not the model's")
    used = [(index, group, p) for index, (group, p) in enumerate(held) if p.requires_grad and names[id(p)] not in unused]
    if len({(p.dtype, p.device) for _, _, p in used}) != 1:
        raise Unbatchable("the weights are of several kinds or on several devices")
    places = offsets([p for _, _, p in used])
    return [Slot(names[id(p)], index, group, offset, p.shape) for (index, group, p), offset in zip(used, places, strict=True)]


class Weights:
    """K copies of the trainable weights, their gradients, and the weights before the last update.

    Attributes:
        rows: (K, weights).
        gradients: (K, weights).
        before: (K, weights).
    """

    def __init__(self, model: nn.Module, places: list[Slot], copies: int) -> None:
        first = model.get_parameter(places[0].name)
        self.slots = places
        self.rows = torch.zeros(copies, _whole(places[-1].end, first), dtype=first.dtype, device=first.device)
        for slot in places:
            slot.of(self.rows).copy_(model.get_parameter(slot.name).detach())
        self.gradients, self.before = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        self._look()

    def _look(self) -> None:
        self.parameters = {slot.name: slot.of(self.rows).requires_grad_() for slot in self.slots}
        self._gradient_views = [slot.of(self.gradients) for slot in self.slots]

    def take(self, losses: Tensor, share: float, first: bool) -> None:
        """Puts ``share`` times the gradients of the losses, one per copy, into ``gradients``, or adds them where it is not the first batch."""
        found = torch.autograd.grad(losses.sum() * share, list(self.parameters.values()), allow_unused=True)
        if any(gradient is None for gradient in found):
            raise Unbatchable("a weight gets no gradient, and an optimizer passes over such a weight")
        put = torch._foreach_copy_ if first else torch._foreach_add_
        put(self._gradient_views, found)

    def keep(self, alive: Tensor) -> None:
        """Only these copies go on."""
        with torch.no_grad():
            self.rows, self.gradients, self.before = self.rows[alive], self.gradients[alive], self.before[alive]
        self._look()

    def spans(self) -> dict[int, tuple[int, int]]:
        """Where each of the optimizer's groups begins and ends in a row."""
        starts: dict[int, int] = {}
        for slot in self.slots:
            starts.setdefault(slot.group, slot.offset)
        return dict(zip(starts, zip(starts.values(), [*list(starts.values())[1:], self.rows.shape[1]], strict=True), strict=True))

    def of(self, row: Tensor, model: nn.Module) -> dict[str, Tensor]:
        """The weights of one copy by every name that the model has for them, as views of its row."""
        places = {id(model.get_parameter(slot.name)): slot for slot in self.slots}
        named = model.named_parameters(remove_duplicate=False)
        return {name: places[id(p)].of(row[None])[0] for name, p in named if id(p) in places}


class Stepper(Protocol):
    """Moves all copies at once."""

    def step(self, rates: Tensor) -> None:
        """One update; ``rates`` has the shape (K, groups)."""
        ...

    def keep(self, alive: Tensor) -> None:
        """Only these copies go on."""
        ...

    def state_of(self, copy: int) -> dict[str, Any]:
        """The optimizer's ``state_dict`` for one copy."""
        ...


class Together:
    """One optimizer over the rows, for updates that are proportional to the rate."""

    def __init__(self, weights: Weights, made: Optimizer) -> None:
        self.weights, self.made = weights, made
        self.loaded = made.state_dict()
        self._build({group: self._joined_state(group) for group in weights.spans()})

    def _build(self, states: dict[int, dict[str, Any]]) -> None:
        """A stock optimizer over one tensor per group, with what it already remembers."""
        rows, gradients = self.weights.rows.detach(), self.weights.gradients
        self.pieces = {group: nn.Parameter(rows[:, start:end]) for group, (start, end) in self.weights.spans().items()}
        for group, (start, end) in self.weights.spans().items():
            self.pieces[group].grad = gradients[:, start:end]
        groups = [{**_fused(self.made, group, piece), "params": [piece]} for group, piece in self.pieces.items()]
        kind: Any = type(self.made)
        self.optimizer = kind(groups)
        for group, state in states.items():
            if state:
                self.optimizer.state[self.pieces[group]] = state

    def _joined_state(self, group: int) -> dict[str, Any]:
        """What the optimizer remembers of a group, as rows; nothing where it has not yet stepped."""
        members = [slot for slot in self.weights.slots if slot.group == group]
        known = [self.loaded["state"].get(slot.index) for slot in members]
        if not all(known):
            if any(known):
                raise Unbatchable("the optimizer remembers some weights of a group and not others")
            return {}
        return {key: self._joined(key, members, known) for key in known[0]}

    def _joined(self, key: str, members: list[Slot], known: list[Any]) -> Any:
        first = known[0][key]
        # a weight may itself be a single number, so that its shape does not tell its history from a count
        if not isinstance(first, Tensor) or key in COUNTS or first.shape != members[0].shape:
            return deepcopy(first)
        start, end = self.weights.spans()[members[0].group]
        rows = self.weights.rows.new_zeros(len(self.weights.rows), end - start, requires_grad=False)
        for state, slot in zip(known, members, strict=True):
            rows[:, slot.offset - start : slot.end - start] = state[key].reshape(-1)
        return rows

    @torch.no_grad()
    def step(self, rates: Tensor) -> None:
        """One update; ``rates`` has the shape (K, groups)."""
        weights = self.weights
        weights.before.copy_(weights.rows)
        largest = rates.max(0).values
        for group, entry in zip(self.pieces, self.optimizer.param_groups, strict=True):
            entry["lr"] = float(largest[group])
        self.optimizer.step()
        shares = (rates / largest.where(largest > 0, 1)).to(weights.rows)
        for group, (start, end) in weights.spans().items():
            piece = self.pieces[group].detach()
            torch.lerp(weights.before[:, start:end], piece, shares[:, group, None], out=piece)

    def keep(self, alive: Tensor) -> None:
        """Only these copies go on."""
        states = {group: self.optimizer.state.get(piece, {}) for group, piece in self.pieces.items()}
        self._build({
            group: {key: value[alive] if _in_rows(value) else value for key, value in state.items()}
            for group, state in states.items()
        })  # fmt: skip

    def state_of(self, copy: int) -> dict[str, Any]:
        """The optimizer's ``state_dict`` for one copy."""
        spans, states = self.weights.spans(), {}
        for slot in self.weights.slots:
            start, joined = spans[slot.group][0], self.optimizer.state.get(self.pieces[slot.group], {})
            states[slot.index] = {
                # counts of steps are one per weight: an optimizer that goes on from here counts in each
                key: value[copy, slot.offset - start : slot.end - start].view(slot.shape) if _in_rows(value) else deepcopy(value)
                for key, value in joined.items()
            }
        return {"state": states, "param_groups": self.loaded["param_groups"]}


class Apart:
    """One optimizer per copy, over views of the rows."""

    def __init__(self, weights: Weights, model: nn.Module, makers: Sequence[tuple[Any, float]], loaded: Any) -> None:
        self.weights = weights
        self.models = [_skeleton(model) for _ in makers]
        self._look()
        self.optimizers = [optimizers.make(maker, mine, lr)[0] for (maker, lr), mine in zip(makers, self.models, strict=True)]
        for made in self.optimizers:
            if loaded["state"]:
                made.load_state_dict(deepcopy(loaded))

    def _look(self) -> None:
        """Points every copy's parameters, and their gradients, to its row."""
        rows, gradients = self.weights.rows.detach(), self.weights.gradients
        for index, model in enumerate(self.models):
            for slot in self.weights.slots:
                parameter = model.get_parameter(slot.name)
                parameter.data = slot.of(rows)[index]
                parameter.grad = slot.of(gradients)[index]

    @torch.no_grad()
    def step(self, rates: Tensor) -> None:
        """One update; ``rates`` has the shape (K, groups)."""
        self.weights.before.copy_(self.weights.rows)
        for made, own in zip(self.optimizers, rates.tolist(), strict=True):
            for group, rate in zip(made.param_groups, own, strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
            made.step()

    def keep(self, alive: Tensor) -> None:
        """Only these copies go on."""
        kept = alive.nonzero().flatten().tolist()
        self.models, self.optimizers = [self.models[index] for index in kept], [self.optimizers[index] for index in kept]
        self._look()

    def state_of(self, copy: int) -> dict[str, Any]:
        """The optimizer's ``state_dict`` for one copy."""
        return self.optimizers[copy].state_dict()


def stepper(weights: Weights, model: nn.Module, made: Optimizer, makers: Sequence[tuple[Any, float]]) -> Stepper:
    """The fast way where it is exact, else the general one.

    Args:
        weights: the copies.
        model: the model they are copies of.
        made: the optimizer of one copy, with what it remembers already.
        makers: the optimizer and the rate of each copy, as `optimizer.make` takes them.
    """
    same = all(maker is makers[0][0] or maker == makers[0][0] for maker, _ in makers)
    full = weights.rows.dtype in (torch.float32, torch.float64)
    plain = all(not isinstance(group["lr"], Tensor) for group in made.param_groups)
    if type(made) in PROPORTIONAL and same and full and plain:
        return Together(weights, made)
    return Apart(weights, model, makers, made.state_dict())


def _fused(made: Optimizer, group: int, piece: Tensor) -> dict[str, Any]:
    """The settings of a group, with the optimizer's one-pass implementation where it has one and nothing speaks against it.

    The rows are larger than the caches of a CPU, so that the number of passes over them is what counts: a quarter of the time. Several groups
    are strided slices of the rows, on which torch 2.13's one-pass implementations are silently wrong.
    """
    settings = dict(made.param_groups[group])
    if (
        type(made) in FUSED
        and piece.is_contiguous()
        and not any(settings.get(key) for key in ("foreach", "differentiable", "capturable", "maximize"))
    ):
        settings["fused"] = True
    return settings


def _in_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2


def _skeleton(model: nn.Module) -> nn.Module:
    """A copy that shares the storage of every weight, which the caller then points elsewhere."""
    shared = {id(tensor): tensor for tensor in (*model.buffers(), *(p for p in model.parameters() if not p.requires_grad))}
    trained = {id(p): nn.Parameter(p.detach()) for p in model.parameters() if p.requires_grad}
    return deepcopy(model, {**shared, **trained})


def _whole(end: int, first: Tensor) -> int:
    unit = max(1, 64 // first.element_size())
    return -(-end // unit) * unit
