"""What if the rate is too small?  a rate of 0.00001 -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="too-small",
    title="Steps too short to notice",
    minutes=3,
    task="Look at the rate, 0.00001, and at the update rule: a step is the rate times the gradient.",
    state={"lr": 0.00001},
    question="How much of the loss is gone after 200 steps?",
    choices=("About 1 %", "About half", "Nearly all of it"),
    answer=0,
    explain=(
        "The loss goes from 2.41 to 2.38: 1 % is gone. The direction is right and every step goes down, but each is 10,000 times "
        "shorter than at a rate of 0.1, which ends at 0.0005. To get as far, this rate needs 10,000 times as many steps: about "
        "2,000,000. A loss that falls slowly and smoothly asks for a larger rate, not for patience."
    ),
    wonder="Raise the rate by a factor of ten, again and again. When does the red line first reach the points?",
    terms=("learning rate", "gradient", "step"),
    hide=("optimizer", "momentum", "batch", "batch_size", "schedule", "race", "live"),
)
