"""What is a loss?  a line through scattered points -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="loss",
    title="One number for how wrong",
    minutes=3,
    task=(
        "The points were made from the green line, y = 0.1 x + 0.5, and then shaken up and down. The walk starts with the red line "
        "exactly on the green one. For every point take how far the line misses it, square that, and take the mean: this is the "
        "loss."
    ),
    state={"lr": 0.5, "noise": 0.1, "start": (0.1, 0.5)},
    question="At step 0 the red line is the true one. How large is its loss?",
    choices=("0, because it is the true line", "Small, but above 0", "Larger than that of any other line"),
    answer=1,
    explain=(
        "It is 0.0093. The points do not lie on the true line, so even that one misses them; the shaking had a spread of 0.1, and "
        "its square is 0.01. Walking on, the loss falls a little more, to 0.0092, at w = 0.115 and b = 0.501. No line does better "
        "on these points. It is not the true line, only the one that suits what was measured."
    ),
    wonder="Set the noise to 0: where does the loss end now? Then start from w = 0 and b = -1, where the loss is 2.4.",
    terms=("loss", "weights", "step"),
    hide=("optimizer", "momentum", "batch", "batch_size", "schedule", "race", "rates", "map", "find", "live"),
)
