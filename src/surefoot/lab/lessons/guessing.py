"""Why not simply guess?  gradient descent raced against random guessing -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="guessing",
    title="Guessing against descending",
    minutes=4,
    task=(
        "Two walkers look for the same line. One follows the slope. The other draws both weights at random at every step and keeps "
        "them only if the loss is lower than before."
    ),
    state={"lr": 0.5, "race": ({"lr": 1.0, "optimizer": "random"},)},
    question="Each may take 200 steps. Who ends with the lower loss?",
    choices=("The one who guesses: 200 tries are plenty", "Both end at the same loss", "The one who follows the slope"),
    answer=2,
    explain=(
        "Following the slope ends at 0.00037, the lowest loss there is. Guessing ends at 0.0064, and only 4 of its 200 guesses "
        "were kept; the other walker was below that after 11 steps. A guess learns nothing from the one before it, a gradient says "
        "which way is down."
    ),
    wonder=(
        "Two weights are few enough to be lucky. Choose the problem digits-linear, with 650 weights: how many of 200 guesses are "
        "better than the start? In our run it was none."
    ),
    terms=("gradient", "random guessing", "weights", "loss"),
    hide=("batch", "batch_size", "schedule", "noise", "points", "rates", "map", "live"),
)
