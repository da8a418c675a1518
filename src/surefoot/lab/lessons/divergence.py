"""Do more steps help?  a rate above the stability limit -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="divergence",
    title="Out of the valley",
    minutes=3,
    task=(
        "The rate is 1.0, above the stability limit 2/L = 0.79. Watch the first steps in the contour, then the loss curve and its "
        "axis."
    ),
    state={"lr": 1.0},
    question="How many steps does this rate need to reach the bottom?",
    choices=("About 1,000", "About 1,000,000", "Half as many as a rate of 0.5", "No number of steps is enough"),
    answer=3,
    explain=(
        "Every jump is 1.54 times as long as the last (1 - 1.0 x 2.54 = -1.54), so the loss grows 2.4 times a step: 2.4 at the "
        "start, 12,700 after 10 steps, and at step 97 the number is too large for the computer. More steps only lead further away. "
        "A smaller rate is the way out: 0.5 reaches the bottom in fewer than 100 steps."
    ),
    wonder="Find the border with the slider. 0.78 still arrives if you give it 2000 steps; 0.8 never does. How near can you get?",
    terms=("divergence", "stability limit", "overshoot"),
    hide=("optimizer", "momentum", "batch", "batch_size", "schedule", "race", "live"),
)
