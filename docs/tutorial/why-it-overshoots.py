# %% [markdown]
# # Why it overshoots
#
# In [the line](the-line.ipynb) a rate just below 0.79 worked and one just above did not. Why is there an edge at all, and why does
# a 2 stand in the formula 2 / L? One single weight is enough to see it, and everything can be checked with a pocket calculator.

# %%
from itertools import pairwise

import numpy as np

import surefoot as sf

valley = sf.problems.load("valley")
sf.plot(sf.landscape(valley, extent=(-2.3, 3.0), resolution=301))

# %% [markdown]
# ## What does the gradient know?
#
# The loss over one weight x is a curve. At each point it has a slope, the **gradient**. Its *sign* says which way is up, its *size*
# how steep. The step goes the other way: `x <- x - rate * gradient`. The arrows show it: to the right on the blue parts, to the
# left on the brown ones, long where it is steep.
#
# **Predict:** where would a walker stand still?


# %%
def gradient(x):
    return x * (x + 1) * (x - 2)  # of this curve, from its formula


print([gradient(x) for x in (-1, 0, 2)])

# %% [markdown]
# In the two valleys, at -1 and 2, and on the hilltop between them, at 0. The gradient knows only the ground under the foot: in the
# left valley nothing tells that the right one is deeper.
#
# ## A promise
#
# Put a walker at x = -2.2 and make three steps.

# %%
three = sf.descend(valley, lr=0.05, steps=3)
assert np.isclose(three.trace[0].grad_norm, abs(gradient(-2.2)), rtol=1e-4)
sf.plot(sf.landscape(valley, three, extent=(-2.6, 0.4), resolution=201))

# %% [markdown]
# The dashed line is the *tangent*: it goes on for ever as steeply as the curve is here. The step believes in it. It expects the
# loss to fall by rate x gradient squared. But the curve bends away from its tangent, so the promise is kept only in part.
#
# How much of it? Take the simplest curve there is, `loss = x * x`, from x = 1. Its gradient is `2 x`: it grows by 2 for each unit
# of way. That number is the **curvature** L. Here L = 2 everywhere.

# %%
bowl = sf.problems.load("bowl", curvatures=[2.0])
L = sf.spectrum(bowl).largest
print(f"L = {L:g}")

# %% [markdown]
# **Predict:** with a rate of 0.5, that is 1 / L, how much of the promised fall do we get? And with 1.0, that is 2 / L?


# %%
def kept(rate):
    before, after = sf.descend(bowl, lr=rate, steps=2).trace
    return (before.loss - after.loss) / (rate * before.grad_norm**2)


for rate in (0.1, 0.5, 0.9, 1.0, 1.1):
    print(f"rate {rate}: {100 * kept(rate):.0f} % of the promise kept")

# %% [markdown]
# The share is `1 - rate * L / 2`. A small step keeps nearly all of a small promise. At 1 / L half of it is kept. **At 2 / L nothing
# is left**, and beyond that the loss rises: the step overshoots so far that it lands higher than it began. That is the 2.

# %%
assert all(np.isclose(kept(rate), 1 - rate * L / 2, atol=1e-5) for rate in (0.1, 0.5, 0.9, 1.0, 1.1))

# %% [markdown]
# ## One factor tells it all
#
# A step from x leads to `x - rate * L * x`, which is `(1 - rate * L)` times x. Each step multiplies the distance to the bottom by
# the same **factor**.
#
# **Predict:** draw the walks for the factors 0.8, 0, -0.8 and -1.1. The rates for them are 0.1, 0.5, 0.9 and 1.05.

# %%
rates = [0.1, 0.5, 0.9, 1.05]
walks = [sf.descend(bowl, lr=rate, steps=20) for rate in rates]
surface = sf.landscape(bowl, walks, extent=(-3.2, 3.2), resolution=201)
sf.plot(surface, kind="multiples")

# %% [markdown]
# | rate x L | factor | what happens |
# |---|---|---|
# | between 0 and 1 | between 1 and 0 | it creeps down on one side |
# | 1 | 0 | it is at the bottom after one step |
# | between 1 and 2 | between 0 and -1 | it jumps across and back, closer each time |
# | above 2 | below -1 | it jumps across and back, further each time |
#
# After t steps the distance is the factor to the power of t. The runs agree, step by step:

# %%
for rate, walk in zip(rates, walks, strict=True):
    closed_form = (1 - rate * L) ** np.arange(21)
    assert np.allclose(np.asarray(walk.path)[:, 0], closed_form, rtol=1e-3, atol=1e-6)

# %%
sf.animate(surface, kind="multiples", seconds=8, most=21, dpi=75)

# %% [markdown]
# A detail for the curious: 0.1 and 0.9 have the same factor but for its sign. They are equally fast! One creeps, the other jumps.

# %%
assert np.allclose(walks[0].trace["loss"], walks[2].trace["loss"], rtol=1e-3)

# %% [markdown]
# ## 1 / L and 2 / L on the map
#
# **Predict:** forty rates, up to 25 steps each. Where is the best rate, and does it depend on the number of steps?

# %%
many = sf.descend_many(bowl, lr=np.geomspace(0.005, 2.0, 40).tolist(), steps=25, engine="vmap")
best = min(many.runs, key=lambda run: run.trace[5].loss)
assert abs(best.config["lr"] * L - 1) < 0.1
sf.plot(many.runs, kind="map", curvature=L)

# %% [markdown]
# At 1 / L, for any number of steps. The good region is widest on its left: a rate that is ten times too small costs time, a rate
# that is twice too large costs everything. If in doubt, stay on the left.
#
# With two weights there are two curvatures, but still one rate. In [the line](the-line.ipynb) they are 2.54 and 0.13:

# %%
line = sf.problems.load("line")
ends = sf.spectrum(line)
for curvature in (ends.largest, ends.smallest):
    print(f"curvature {curvature:.2f}: factor {1 - 0.5 * curvature:+.2f} at a rate of 0.5")

# %% [markdown]
# Across the bowl each step leaves 27 % of the way, along it 93 %. The steep direction sets the limit, the flat one the time. That
# is why a long bowl is slow at any rate. Near the end the loss falls by 0.93 squared per step:

# %%
tail = sf.descend(line, lr=0.5, steps=40).trace["loss"] - line.answer.loss
assert np.isclose(tail[31] / tail[30], (1 - 0.5 * ends.smallest) ** 2, rtol=1e-2)

# %% [markdown]
# ## How to feel the edge without knowing L
#
# Nobody tells a walker the curvature. But one gradient more, measured where the step landed, says it. If the ground still slopes
# down at the landing, the step was short; if it slopes up, the step went over the lowest point. The number for it is called
# **alpha**: -1 means not moved, 0 exactly at the lowest point of the line, 1 as far behind it as before it.
#
# **Predict:** alpha for 0.5, 0.9 and 1.05 in the bowl?

# %%
for rate in (0.1, 0.5, 0.9, 1.05):
    here, there = sf.descend(bowl, lr=rate, steps=1).path.weights
    curvature, alpha = sf.two_gradients(before=2 * here, after=2 * there, step=there - here)
    print(f"rate {rate}: alpha {alpha:+.2f}, curvature {curvature:.2f}")
    assert np.isclose(alpha + 1, rate * L, atol=1e-5)

# %% [markdown]
# `alpha + 1` is rate x L. So alpha = 1 is the edge, and we got L as well, from two gradients. It works for any model; here along a
# walk over the two valleys, where the curvature is different everywhere:

# %%
walk = sf.descend(valley, lr=0.25, steps=8)
points = walk.path.weights.double()
for here, there in pairwise(points):
    curvature, alpha = sf.two_gradients(gradient(here), gradient(there), there - here)
    print(f"from {here.item():+.2f} to {there.item():+.2f}: curvature {curvature:+.1f}, alpha {alpha:+.2f}")

# %% [markdown]
# On the hill the curvature is negative: the ground gets steeper on the way down, and alpha is below -1. In the deep valley it
# settles near 6, and alpha near 0.5: it jumps across the bottom, closer each time. 0.25 x 6 = 1.5 = alpha + 1.

# %%
assert np.isclose(curvature, 6, rtol=0.1) and np.isclose(alpha, 0.5, atol=0.1)

# %% [markdown]
# ## Stuck in the wrong valley
#
# A small rate from x = -2.2.
#
# **Predict:** which valley? Would more steps help? Would a larger rate?

# %%
stuck = sf.descend(valley, lr=0.05, steps=200)
found = sf.basin(valley, stuck, rates=49)
print(found)

# %% [markdown]
# More steps would not help: in the left valley the gradient is zero. But a *larger* rate leaps right over the valley and the hill.
# `basin` has tried it: it walked 49 rates and 41 starts and says which of them arrive.

# %%
leaps = [sf.descend(valley, lr=rate, steps=200) for rate in (0.05, 0.18, 0.25, 0.5)]
sf.plot(sf.landscape(valley, leaps, extent=(-3.2, 3.6), resolution=301), kind="multiples")

# %% [markdown]
# So overshooting is not always bad. A rate that is too large for the narrow valley and right for the wide one carries the walker
# out of the first and lets it rest in the second. It is luck, though: it depends on the start. At 2 / 6 = 0.33 the deep valley
# cannot hold it either.

# %%
assert found.minimum.point[0] < 0 < found.lower.point[0] and found.rate[0] < 0.25 < found.rate[1]
assert [round(leap.path[-1].item()) for leap in leaps[:3]] == [-1, -1, 2]

# %% [markdown]
# ## A ball instead of a walker
#
# *Momentum* lets the steps build on each other, like a ball that keeps rolling. With the usual 0.9 nine tenths of the last step are
# added to the next.
#
# **Predict:** is the largest stable rate smaller than 2 / L, because the ball is faster, or larger?

# %%
edge = sf.stability_limit(L, "momentum")
print(f"{edge * L:.1f} / L = {edge:.2f}")

# %% [markdown]
# Larger: 3.8 / L. A ball that was pushed left too far is still rolling left when the next push comes from the right, and the two
# nearly cancel. Theory is good, trying is better:

# %%
just_below, just_above = (sf.descend(bowl, lr=share / L, optimizer="momentum", steps=150) for share in (3.7, 3.9))
sf.plot([just_below, just_above])

# %%
assert just_below.trace[-1].loss < 1e-4 and just_above.trace[-1].loss > 1e10

# %% [markdown]
# ## Your turn
#
# 1. With L = 8 and a rate of 0.2: which factor, which row of the table? Check with `sf.problems.load("bowl", curvatures=[8.0])`.
# 2. Which rate makes the line fastest? (The factors of its two directions should be equally far from 0.) What is the factor then?
# 3. `sf.basin` also names starts that lead to the deep valley at the same rate of 0.05. Where is the border, and why just there?
# 4. Find a rate at which the walk in the valley neither settles nor leaves, but goes round between a few points for ever.
