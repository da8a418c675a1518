"""Is the lowest point of a range test the best rate?  that rate and a tenth of it -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="range-test",
    title="Reading a range test",
    minutes=5,
    task=(
        "A range test walks once and raises the rate at every step, from tiny to huge. Look at its curve: level, then falling, "
        "then blowing up. The smoothed loss is lowest at a rate somewhere from 2 to 4."
    ),
    state={"lr": 0.25, "race": ({"lr": 2.5},)},
    question="Should one train with the rate at which that curve is lowest?",
    choices=(
        "Yes, the lowest loss marks the best rate",
        "Any rate to the left of it is equally good",
        "No, it is already too large; about a tenth of it is a good guess",
    ),
    answer=2,
    explain=(
        "2.5 overflows at step 25; a tenth of it, 0.25, ends at the lowest loss, 0.00037. The limit lies at 0.79, and the test "
        "walked past it unharmed, since growing takes a few steps and there the rate was raised again before it showed. A range "
        "test is cheap and a little blind: read it as an upper end. surefoot tries the rates below that in short real descents "
        "before it recommends one."
    ),
    wonder=(
        "Press find and compare. Then set the optimizer to adam: its best rate is another one, and the range test has to be made "
        "anew."
    ),
    terms=("range test", "learning rate", "divergence"),
    hide=("batch", "batch_size", "schedule", "noise", "points", "live"),
)
