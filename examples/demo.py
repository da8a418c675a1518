"""The main job on real images.  digits-cnn -> its learning rate, a descent with it, a table, curves and pictures in out/."""

from __future__ import annotations

from pathlib import Path

import surefoot as sf
from surefoot.figures import terminal

STEPS = 300
OUT = Path("out")


def main() -> None:
    """Finds, descends, shows."""
    problem = sf.problems.load("digits-cnn")
    print(f"{problem}\n{problem.source}\n")

    found = sf.find_lr(problem, optimizer="adamw", steps=STEPS, schedule="cosine")
    print(f"{found}\n\n{terminal.draw(found)}\n")

    accuracy = sf.probe.accuracy(every=30)
    run = sf.descend(problem, lr=found.lr, optimizer="adamw", steps=STEPS, schedule="cosine", probes=[accuracy])
    final = sf.probe.accuracy_of(problem, run)
    print(f"{run}\naccuracy on the held-out images: {final:.1%}\n\n{run.trace}\n\n{terminal.draw(run)}\n")

    trials = [
        sf.descend(problem, lr=found.lr * factor, optimizer="adamw", steps=STEPS, schedule="cosine") for factor in (0.1, 10.0)
    ]
    OUT.mkdir(exist_ok=True)
    line = sf.problems.load("line")
    pictures = {
        "rate": (found, {}),
        "loss": (run, {}),
        "rates": ([trials[0], run, trials[1]], {}),
        "line": (sf.descend(line, lr=0.05, steps=200), {"kind": "fit", "problem": line}),
    }
    for name, (answer, options) in pictures.items():
        sf.plot(answer, **options).figure.savefig(OUT / f"{name}.png", dpi=150)
    print(f"pictures: {', '.join(str(OUT / f'{name}.png') for name in pictures)}")


if __name__ == "__main__":
    main()
