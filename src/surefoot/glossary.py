"""What does this word mean?  a term -> one sentence for everybody, one for those who want to know more.

The one place where words are explained: the command line, the docs and the page take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass

from surefoot.errors import unknown


@dataclass(frozen=True)
class Term:
    """A word of the field.

    Attributes:
        name: the term, as it is usually written.
        short: one sentence without a formula.
        more: what a practitioner wants to add, with a formula where there is one.
    """

    name: str
    short: str
    more: str


_ALL = (
    Term(
        "loss",
        "A number that says how wrong the model is; training tries to make it small.",
        "Usually the mean over samples of a distance between prediction and target: squared error for numbers, cross entropy for classes.",
    ),
    Term(
        "weights",
        "The numbers inside a model that training may change.",
        "Also called parameters: two for a line (slope and height), thousands to billions for a network; the loss is a function of them.",
    ),
    Term(
        "gradient",
        "The direction in which the loss rises most steeply, and how steeply; a step goes the other way.",
        "The vector of partial derivatives of the loss by every weight, computed by automatic differentiation; its l2 norm is the slope along it.",
    ),
    Term(
        "learning rate",
        "How far a step goes for a given slope.",
        "Gradient descent: weights <- weights - learning rate x gradient. Adaptive optimizers also divide by what each gradient usually is.",
    ),
    Term(
        "step",
        "One update of the weights.",
        "Counted from 0; the loss of a row is measured before its update.",
    ),
    Term(
        "optimizer",
        "The rule that makes a step out of the gradients seen so far.",
        "Plain gradient descent (sgd) takes the last gradient alone, momentum adds the earlier ones, Adam also divides by their size.",
    ),
    Term(
        "random guessing",
        "Drawing all weights anew, keeping them only where the loss is lower: the baseline that every descent should beat.",
        "With d weights the share of guesses that come within a distance r of the minimum falls as r to the power of d.",
    ),
    Term(
        "epoch",
        "One pass through all of the training data.",
        "Steps per epoch: samples divided by the batch size, rounded up, where the last short batch is used.",
    ),
    Term(
        "batch",
        "The samples that one step looks at.",
        "Full batch: all of them, no noise. Stochastic: one. Mini-batch: some; the noise of the gradient falls with the root of their number.",
    ),
    Term(
        "batch size",
        "How many samples one step looks at; memory says how many it can be, the noise of the gradient how many are worth it.",
        "Up to the noise scale twice as many samples nearly halve the steps; what does not fit into memory is accumulated over several passes.",
    ),
    Term(
        "curvature",
        "How quickly the slope changes along a direction: high in a narrow valley, low on a plain.",
        "The second derivative of the loss; L is the largest eigenvalue of the Hessian, the curvature in the steepest direction.",
    ),
    Term(
        "Hessian",
        "The table of all curvatures.",
        "The matrix of second derivatives of the loss. Its product with a vector costs a few gradients; it is never stored.",
    ),
    Term(
        "stability limit",
        "The largest learning rate at which the steps still settle; above it they grow without end, however many there are.",
        "2/L for gradient descent, (2 + 2b)/L for momentum b, (2 + 2 b1)/((1 - b1)L) for Adam with the curvature it sees (Cohen et al. 2021, 2022).",
    ),
    Term(
        "overshoot",
        "A step that goes over the lowest point along its way and lands on the other side.",
        "alpha > 0, where alpha = -(g1.d)/(g0.d) with the gradients before and after a step d; alpha = 1 is the stability limit of gradient descent.",
    ),
    Term(
        "divergence",
        "The loss grows from step to step until the numbers overflow.",
        "Above the stability limit the distance to the minimum is multiplied by |1 - lr L| > 1 at every step; a smaller rate is the only remedy.",
    ),
    Term(
        "edge of stability",
        "Large networks drift to where the rate is just at the limit and jump about there while the loss still falls: it looks ill, and is healthy.",
        "The curvature rises until it hovers at 2/lr; the loss is not monotone over a few steps, but falls over tens (Cohen et al. 2021).",
    ),
    Term(
        "local minimum",
        "A valley that is not the deepest one: every small step leads back into it.",
        "The gradient is zero and no curvature is negative. In one or two dimensions common, in networks rarely what holds a training up.",
    ),
    Term(
        "global minimum",
        "The deepest valley of all.",
        "The lowest loss over all weights. Where the loss is convex, as for a line, there is no other; elsewhere a gradient cannot tell.",
    ),
    Term(
        "saddle",
        "A pass: level, downhill to two sides and uphill to the others.",
        "The gradient is zero and the smallest eigenvalue of the Hessian negative; steps leave it slowly, in that direction.",
    ),
    Term(
        "plateau",
        "Level ground: the gradient is so small that steps lead nowhere.",
        "Gradient and curvatures are both near zero. A larger rate, another start or another activation helps.",
    ),
    Term(
        "gradient noise",
        "Every batch shows a slightly different slope; near the bottom nothing but that is left.",
        "A constant rate ends above the minimum by an amount that grows with the rate and the variance of the gradient; a falling rate lowers it.",
    ),
    Term(
        "noise scale",
        "The batch size beyond which larger batches hardly help.",
        "tr(S) / |G|^2, the summed variance of the gradient over samples divided by its squared mean (McCandlish et al. 2018).",
    ),
    Term(
        "schedule",
        "A plan by which the learning rate changes on the way, usually down.",
        "A multiplier by step: constant, cosine, linear, step, one-cycle ... with or without a warm-up.",
    ),
    Term(
        "warm-up",
        "Beginning with a small rate and raising it over the first steps.",
        "At the start curvature is often high and the optimizer's averages are not yet filled; 1 to 5 % of the steps are usual.",
    ),
    Term(
        "momentum",
        "Steps that build on each other, like a ball that keeps rolling.",
        "velocity <- b x velocity + gradient; weights <- weights - lr x velocity. With b = 0.9 a steady slope is walked ten times as fast.",
    ),
    Term(
        "overfitting",
        "Learning the samples by heart: the training loss still falls while the loss on held-out samples rises.",
        "Stop earlier, regularise, or get more data; a smaller learning rate alone only delays it.",
    ),
    Term(
        "range test",
        "Raising the rate at every step from tiny to huge, and looking where the loss falls and where it blows up.",
        "Smith 2015. It is cheap and blind to what comes later; surefoot uses it for the upper end only, and real short descents for the rest.",
    ),
    Term(
        "regret",
        "What is lost by training at a rate that was suggested instead of at the best one.",
        "(final loss - best final loss of a dense grid) / (loss at the start - best): 0 is perfect, 1 is having learnt nothing.",
    ),
    Term(
        "principal plane",
        "The flat slice through the weights in which a descent moves most.",
        "Spanned by the first two principal components of the path. A random walk already shows 76 % there (Antognini and Sohl-Dickstein 2018).",
    ),
)

TERMS = {term.name.lower(): term for term in _ALL}


def term(name: str) -> Term:
    """The explanation of a term.

    Args:
        name: in any case.

    Raises:
        SettingError: it is not explained here; the message names the nearest one.

    Example:
        >>> term("Learning Rate").short
        'How far a step goes for a given slope.'
    """
    try:
        return TERMS[name.lower()]
    except (KeyError, AttributeError):
        raise unknown("term", name, TERMS) from None
