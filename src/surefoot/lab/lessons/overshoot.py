"""Is going too far always bad?  a rate between 1/L and 2/L -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="overshoot",
    title="Over the valley and back",
    minutes=4,
    task=(
        "The slider has two marks. Up to 1/L = 0.39 a step stops before the bottom of the steepest direction; up to 2/L = 0.79 it "
        "comes out lower on the other side than where it began. The rate is 0.7, between them. Go through the first steps one by "
        "one."
    ),
    state={"lr": 0.7},
    question="What will the path look like?",
    choices=(
        "It walks down one side and stops at the bottom",
        "It jumps across the valley at every step, and still arrives",
        "It jumps across and climbs higher at every step",
    ),
    answer=1,
    explain=(
        "Every step lands on the other side of the valley, at 0.78 of the distance: 1 - 0.7 x 2.54 = -0.78, and the minus sign is "
        "the jump. So it arrives all the same: its loss is below 0.00037 after 56 steps, where a rate of 0.39 takes 103. "
        "Overshooting is no illness as long as each jump is shorter than the one before. (The loss here is the mean of the "
        "squares, 1/n; with 1/2n both marks would lie at twice the rate.)"
    ),
    wonder="Try 0.75, then 0.78. More jumps, and no longer faster: why? What happens just beyond the second mark, at 0.8?",
    terms=("overshoot", "curvature", "stability limit"),
    hide=("optimizer", "momentum", "batch", "batch_size", "schedule", "race", "live"),
)
