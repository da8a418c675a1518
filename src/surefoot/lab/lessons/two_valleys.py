"""Which valley does a walk end in?  a small and a large rate on a curve with two valleys -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="two-valleys",
    title="The near valley and the deep one",
    minutes=4,
    task=(
        "One weight, x, and a loss with two valleys: a high one at x = -1, with a loss of 2.25, and the deepest at x = 2, with a "
        "loss of 0. A hill stands between them at x = 0. Both walkers start at x = -2.2, one with a rate of 0.03 and one with "
        "0.25."
    ),
    state={"problem": "valley", "lr": 0.03, "race": ({"lr": 0.25},)},
    question="Where do the two end?",
    choices=(
        "0.03 in the near valley, 0.25 in the deep one",
        "Both in the near valley, 0.25 earlier",
        "Both in the deep valley, 0.25 earlier",
        "0.03 in the near valley, 0.25 nowhere: it diverges",
    ),
    answer=0,
    explain=(
        "At x = -2.2 the gradient is -11.1. With 0.25 the first step is 2.77 long and lands at x = 0.57, beyond the hill; with "
        "0.03 it is 0.33 long, lands at x = -1.87, and every later step leads into the near valley. That is luck, not a plan: the "
        "large rate did not know of the deep valley, and from another start it may leap out of it."
    ),
    wonder=(
        "Stay at 0.03 and choose momentum: the ball rolls over the hill. Then click on the curve to start elsewhere. And at 0.35, "
        "above this valley's limit of 0.33, does it leap, and does it settle?"
    ),
    terms=("local minimum", "global minimum", "gradient", "learning rate"),
    hide=("batch", "batch_size", "schedule", "map", "live"),
)
