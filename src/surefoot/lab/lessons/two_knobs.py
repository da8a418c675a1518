"""Is a smaller rate with more steps the same?  half the rate, twice the steps -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="two-knobs",
    title="Rate and steps: two knobs",
    minutes=5,
    task=(
        "Two walkers start together, one with a rate of 0.1 and one with 0.05. The faster one is at a loss of 0.0005 after 200 "
        "steps. Look at the map of rate against steps too."
    ),
    state={"lr": 0.05, "steps": 400, "race": ({"lr": 0.1},)},
    question="After how many steps is the walker with 0.05 at 0.0005?",
    choices=("200", "400", "800", "It never gets there"),
    answer=1,
    explain=(
        "After 400: half the rate, twice the steps. What counts is rate x steps, the length of the walk; in the map these are the "
        "slanting lines of equal loss. 0.2 gets there with 100 steps and 0.4 with 50. But the lines end at the stability limit: "
        "0.8 with 25 steps should be the same, and its loss is above that of the start."
    ),
    wonder="Which point of the map is the cheapest one that reaches 0.0005? Then ask how near to its edge you would want to stand.",
    terms=("learning rate", "step", "stability limit"),
    hide=("optimizer", "momentum", "batch", "batch_size", "schedule", "noise", "points", "live"),
)
