"""What does momentum do?  plain descent and momentum in a narrow canyon -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="momentum",
    title="A ball in a canyon",
    minutes=4,
    task=(
        "A curved canyon: its walls are steep, its floor falls hardly at all. The walls forbid a large rate, and at a small one "
        "the floor takes for ever. Both walkers have the rate 0.001 and 500 steps; the second keeps 0.9 of its last movement and "
        "adds the new slope to it."
    ),
    state={"problem": "rosenbrock", "lr": 0.001, "steps": 500, "race": ({"optimizer": "momentum"},)},
    question="The deepest point is at (1, 1). Which of them gets there?",
    choices=(
        "Neither: the rate is the same, so they stay together",
        "Momentum is nearly there, plain descent is not half-way",
        "Plain descent is nearly there, momentum is thrown out of the canyon",
    ),
    answer=1,
    explain=(
        "Plain descent ends at x = -0.51 with a loss of 2.3, momentum at x = 0.96 with a loss of 0.0018. Across the canyon the "
        "slope changes its sign and the kept movements cancel; along the floor it is steady and they add up, to 1 / (1 - 0.9) = 10 "
        "times the step. Plain descent has not caught up after 5,000 steps: its loss is then 0.0038."
    ),
    wonder="Lower the momentum to 0.5, then raise it to 0.99. Does a rate of 0.01 work for either of the two?",
    terms=("momentum", "curvature", "optimizer"),
    hide=("batch", "batch_size", "schedule", "map", "live"),
)
