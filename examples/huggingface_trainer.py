"""A ``transformers.Trainer``: find its learning rate, train, and hear what was seen.  a small BERT made here -> the rate, the verdict, the losses.

Needs ``pip install "surefoot[transformers]"``. Nothing is downloaded: the model is made from a configuration, the sentences are made up.
"""

from __future__ import annotations

import tempfile

import torch
import transformers

from surefoot.integrations.transformers import Watch, find_lr

WORDS, LENGTH = 40, 12


def sentences(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Numbers for words; the label says whether word 7 comes before word 8."""
    drawn = torch.Generator().manual_seed(seed)
    rows = torch.randint(10, WORDS, (count, LENGTH), generator=drawn)
    places = torch.rand(count, LENGTH, generator=drawn).argsort(dim=1)[:, :2]
    rows.scatter_(1, places, torch.tensor([7, 8]).expand(count, 2))
    return [{"input_ids": row, "labels": (first < second).long()} for row, (first, second) in zip(rows, places, strict=True)]


def main() -> None:
    """The usual script, and two lines of ours."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH,
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=32, num_train_epochs=5, warmup_steps=0.1, weight_decay=0.01, eval_strategy="epoch",
            save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, logging_strategy="no",
        )  # fmt: skip
        watch = Watch()
        trainer = transformers.Trainer(
            transformers.BertForSequenceClassification(config),
            arguments,
            train_dataset=sentences(1600, 0),
            eval_dataset=sentences(200, 1),
            callbacks=[watch],
        )
        found = find_lr(trainer, progress=False)  # (1) the Trainer stays as it is
        print(f"default rate {arguments.learning_rate:g}\n{found}\n")
        trainer.args.learning_rate = found.lr
        trainer.train()

    print(f"\n{watch.trace}")  # (2) every step, where the Trainer logs a mean now and then
    print(f"\n{watch.diagnosis}")


if __name__ == "__main__":
    main()
