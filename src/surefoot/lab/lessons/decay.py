"""What is a falling rate good for?  a constant and two falling rates under noise -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="decay",
    title="Large steps first, small ones last",
    minutes=4,
    task=(
        "Three walkers, one point per step, all beginning at a rate of 0.3. One keeps it; for the others it falls to 0, along a "
        "cosine and along a straight line. All three see the same points in the same order."
    ),
    state={
        "noise": 0.1,
        "lr": 0.3,
        "batch": "single",
        "race": ({"schedule": "cosine"}, {"schedule": "linear"}),
    },
    question="Whose line suits all of the points best after 200 steps?",
    choices=("That of one of the falling rates", "That of the constant rate, for it has walked farthest", "All three are the same"),
    answer=0,
    explain=(
        "The constant rate ends at a loss of 0.033, the cosine at 0.0093, the straight line at 0.0095; the lowest possible is "
        "0.0092. A large rate is good for the way, but at the bottom each step jumps as far as the noise pulls. A falling rate "
        "makes those last jumps smaller and smaller, and so the noise of many points averages out."
    ),
    wonder=(
        "Is a small constant rate as good? With 0.03 the loss is 0.016 after 200 steps: less noise, but it has not arrived yet. "
        "Then try one-cycle, or a falling rate with the full batch: is there still something to gain?"
    ),
    terms=("schedule", "gradient noise", "learning rate"),
    hide=("optimizer", "momentum", "rates", "map", "live"),
)
