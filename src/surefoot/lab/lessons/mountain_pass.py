"""Is level ground the bottom?  a descent that lingers at a saddle -> the lesson."""

from surefoot.lab.lessons.lesson import Lesson

LESSON = Lesson(
    id="mountain-pass",
    title="A pass is not a valley",
    minutes=3,
    task=(
        "Play the first 20 steps, then pause. The curve has gone flat at a loss of 0.26, and the gradient has shrunk from 1.0 to "
        "0.14."
    ),
    state={"problem": "saddle", "steps": 100},
    question="Has it arrived?",
    choices=("Yes, the loss will stay where it is", "No, the loss will rise again", "No, the loss will fall once more, to 0"),
    answer=2,
    explain=(
        "It stood on a pass: level ground that rises ahead and behind and falls away to both sides. The start was 0.01 beside the "
        "ridge, and near the ridge that little grows by a tenth at every step. From step 30 the loss falls again, and at step 60 "
        "it is 0.001. A flat curve alone does not say that a walk has arrived."
    ),
    wonder=(
        "Start exactly on the ridge, at (1, 0): the sideways slope is exactly 0, and it stays on the pass for ever. Would the "
        "noise of mini-batches let a network stay there?"
    ),
    terms=("saddle", "gradient", "plateau"),
    hide=("batch", "batch_size", "schedule", "rates", "map", "live"),
)
