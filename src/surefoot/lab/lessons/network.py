"""What does a picture of a network's loss show?  26,122 weights on a plane of two directions -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="network",
    title="A real network on two directions",
    minutes=5,
    task=(
        "A network with 26,122 weights learns to read digits. The picture has two directions out of 26,122: those in which this "
        "descent moved most. Read the sentence beneath it before you believe it."
    ),
    state={"problem": "digits-mlp"},
    question="How much of the way that the weights moved can two directions hold?",
    choices=("Less than 1 %", "About half", "More than 95 %"),
    answer=2,
    explain=(
        "99.5 %. That sounds like everything, and is less than it seems: the directions were chosen after the walk, and a walk "
        "that only stumbles about at random has 76 % in its own best plane. So 99.5 % says something, and 80 % would say next to "
        "nothing. What is left still counts: the loss on the path differs from the surface beneath it by up to 0.03. Meanwhile the "
        "loss on the batches fell from 2.3 to 0.4."
    ),
    wonder=(
        "Train with a rate of 0.5: the loss ends lower and the plane holds less, 93 %. Would you trust the valley you see there as "
        "much?"
    ),
    terms=("principal plane", "weights", "batch"),
    hide=("noise", "points", "start", "map", "live"),
)
