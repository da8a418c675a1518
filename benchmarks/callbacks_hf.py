"""What do the callbacks of transformers and accelerate cost?  one training bare and watched, in turns in one process -> docs/benchmarks.md.

python benchmarks/callbacks_hf.py: one thread. A BERT of 2 layers of width 128 on batches of 16 x 64 tokens, under AdamW with clipping. Bare and
watched trainings of 20 steps take turns, each from the same weights on the same batches, the order changed from round to round. The time of a
training is that from its fifth step to its last, in processor time of the thread; the overhead is the median of the ratios round by round.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import accelerate
import torch
import transformers

from surefoot.integrations.accelerate import watch
from surefoot.integrations.transformers import Watch

torch.set_num_threads(1)
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
STEPS, UNTIMED = 20, 5
ROUNDS, WARM = 9, 1  # rounds, and those that do not count
BATCH, TOKENS, WORDS = 16, 64, 1000
WAYS = {"bare": None, "bare again": None, "watched": {}, "norms every 4 steps": {"norms": 4}}


def main() -> None:
    rounds = 5 if "--quick" in sys.argv else ROUNDS
    said = [
        "| training | ms a step | two bare ones differ by | watched | promised | norms every 4 steps |",
        "|---|---|---|---|---|---|",
    ]
    for name, run in {"transformers.Trainer": by_trainer, "loop under accelerate": by_loop}.items():
        took: dict[str, list[float]] = {way: [] for way in WAYS}
        for turn in range(rounds + WARM):
            for way in [*list(WAYS)[turn % len(WAYS) :], *list(WAYS)[: turn % len(WAYS)]]:
                took[way].append(run(WAYS[way]))
        other, plain, rarer = (overhead(took[way], took["bare"]) for way in list(WAYS)[1:])
        said.append(f"| {name} | {statistics.median(took['bare']) * 1e3:.1f} | {other} | {plain} | <= 3 % | {rarer} |")
        print(said[-1], flush=True)
    versions = f"transformers {transformers.__version__}, accelerate {accelerate.__version__}, torch {torch.__version__}"
    write("callbacks-hf", [*said, "", f"{versions}; a BERT of 2 layers of width 128, {BATCH} x {TOKENS} tokens, one thread."])


def write(section: str, lines: list[str]) -> None:
    before, rest = DOCS.read_text().split(f"<!-- {section} -->", 1)
    _, after = rest.split(f"<!-- /{section} -->", 1)
    DOCS.write_text(before + f"<!-- {section} -->\n" + "\n".join(lines) + f"\n<!-- /{section} -->" + after)


def overhead(ours: list[float], bare: list[float]) -> str:
    """In percent: the median round, and the quartiles."""
    ratios = [100 * (one / other - 1) for one, other in zip(ours[WARM:], bare[WARM:], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.1f} % ({low:.1f} to {high:.1f})"


def model() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=TOKENS,
    )
    return transformers.BertForSequenceClassification(config)


def samples() -> list[dict[str, torch.Tensor]]:
    rows = torch.randint(WORDS, (BATCH * STEPS, TOKENS), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row[0] % 2} for row in rows]


class Clock(transformers.TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.thread_time())

    @property
    def step(self) -> float:
        """Seconds of one."""
        return (self.ends[-1] - self.ends[UNTIMED - 1]) / (STEPS - UNTIMED)


def by_trainer(settings: dict[str, Any] | None) -> float:
    clock = Clock()
    callbacks = [clock] if settings is None else [Watch(**settings), clock]
    with tempfile.TemporaryDirectory() as folder, quiet():
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=BATCH, max_steps=STEPS, report_to="none", disable_tqdm=True, use_cpu=True, save_strategy="no",
            logging_strategy="no",
        )  # fmt: skip
        transformers.Trainer(model(), arguments, train_dataset=samples(), callbacks=callbacks).train()
    return clock.step


def by_loop(settings: dict[str, Any] | None) -> float:
    accelerator, clock, net = accelerate.Accelerator(cpu=True), Clock(), model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-5)
    loader = torch.utils.data.DataLoader(samples(), batch_size=BATCH, shuffle=True)
    net, optimizer, loader = accelerator.prepare(net.train(), optimizer, loader)
    with contextlib.ExitStack() as stack:
        tell: Callable[[Any], Any] = lambda loss: loss  # noqa: E731
        if settings is not None:
            tell = stack.enter_context(watch(accelerator, net, optimizer, **settings)).loss
        for batch in loader:
            loss = tell(net(**batch).loss)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            clock.on_step_end()
    return clock.step


def quiet() -> Any:
    """The Trainer prints what it logs."""
    return contextlib.redirect_stdout(Path(os.devnull).open("w"))


if __name__ == "__main__":
    main()
