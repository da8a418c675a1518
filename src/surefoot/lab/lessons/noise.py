"""How many samples should a step look at?  one, ten and all of them -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="noise",
    title="One sample, some, or all",
    minutes=5,
    task=(
        "Three walkers, the same rate of 0.3, 200 steps each. The first looks at one of the 100 points per step, the second at 10, "
        "the third at all of them. A step of the first costs a hundredth of a step of the third."
    ),
    state={
        "noise": 0.1,
        "lr": 0.3,
        "batch": "single",
        "race": ({"batch": "mini", "batch_size": 10}, {"batch": "full"}),
    },
    question="How will the three lines lie at the end, measured on all of the points?",
    choices=(
        "All three end at the same loss",
        "Nearly equal for 10 and all of them; the first is clearly off",
        "The first is best, for it saw more variety",
        "Only the third arrives; the other two diverge",
    ),
    answer=1,
    explain=(
        "On all points the first ends at a loss of 0.033, the second at 0.0093, the third at 0.0092, the lowest there is. A single "
        "point pulls the line towards itself, and at a constant rate that never stops: the walk jumps about around the bottom. "
        "With 10 points most of the pull cancels, for a tenth of the price of all of them: 2,000 looks at a point instead of "
        "20,000. (The curve of the first shows the loss of the one point it sees, so it is ragged by nature; look at the line, not "
        "at the curve.)"
    ),
    wonder=(
        "Change the seed: how much does the end of the first move, and how much that of the second? Then give the first a rate of "
        "0.05."
    ),
    terms=("batch", "gradient noise", "epoch"),
    hide=("optimizer", "momentum", "schedule", "rates", "map", "live"),
)
