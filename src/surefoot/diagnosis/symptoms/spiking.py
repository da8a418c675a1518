"""Single steps throw the loss up.  isolated rows far above the running median -> finding."""

from __future__ import annotations

from surefoot.diagnosis.evidence import Evidence, Remedy, number
from surefoot.diagnosis.finding import Finding, Measured
from surefoot.diagnosis.reading import APART, SPIKE

FEWEST = 2  # spikes: one alone may be an accident
SOURCE = (
    "OLMo 2 report, arXiv 2501.00656: seven standard deviations above the running mean; here robust ones above the running median"
)
CLIPPED = "Godbole et al. 2023, Deep Learning Tuning Playbook: clip at the 90th percentile of the gradient's norm"

PICTURE = (
    "The descent goes well, but now and then one step is wildly long: a few samples there point with enormous force in a direction"
    " of their own. Afterwards the way down has to be made again."
)
FORMULA = (
    "Score of a step: (loss - running median) / (1.4826 x running median of its absolute value). "
    f"Spikes score {SPIKE:g} or more, and {APART:g} times as much as every step that is none. The remedy caps |g|: {CLIPPED}."
)


def spiking(seen: Measured) -> Finding | None:
    """Rare, isolated and high."""
    read = seen.reading
    count = len(read.spikes)
    if read.unfit or count < FEWEST or not read.end < read.start:
        return None
    told = f"The loss falls, but {count} times it leapt by up to {number(read.spike)} and came back (first at step {read.spikes[0]:,})."
    evidence = (
        Evidence("spikes of the loss", float(count), float(FEWEST), SOURCE),
        Evidence("height of the highest", read.spike, None, SOURCE),
    )
    remedy = Remedy(
        f"Clip gradients at {number(read.usual)} (clip_norm), and look at the samples of step {read.spikes[0]:,}.",
        "clip_norm",
        read.usual,
    )
    return Finding("spiking", told, evidence, remedy, PICTURE, FORMULA)
