# %% [markdown]
# # The line
#
# A hundred points lie roughly on a straight line. Which line? We let the computer find out by walking downhill, and learn what its
# one knob, the **learning rate**, does.
#
# Every part goes the same way: a question, your prediction, the run, the explanation. Do say your prediction aloud before you read
# on.

# %%
import numpy as np

import surefoot as sf

line = sf.problems.load("line")
line

# %% [markdown]
# ## What is to be found?
#
# A line `w x + b` has two numbers: the slope `w` and the height `b` at x = 0. We begin with a bad guess, `w = 0` and `b = -1`, and
# let the computer improve it in 200 small steps.
#
# **Predict:** will it find the line?

# %%
run = sf.descend(line, lr=0.05, steps=200, every=20)

# %% [markdown]
# Each row tells how wrong the line is (`loss`), how steep the ground is (`gradient`) and how far the step went (`update`). The step
# is always the learning rate times the gradient: 0.05 x 3.477 = 0.1739 in the first row.

# %%
assert np.allclose(run.trace["update_norm"], 0.05 * run.trace["grad_norm"], rtol=1e-3)
sf.plot(run, kind="fit", problem=line)

# %% [markdown]
# Nearly. The red line crosses the points, but it is too steep: the slope is 0.24 where it ought to be 0.10. The picture shows why:
# the line came up from below as a whole and only then began to turn.

# %%
assert round(run.weights["w"].item(), 2) == 0.24 and round(line.answer.minimum[0], 2) == 0.10

# %% [markdown]
# ## What does it walk on?
#
# The loss is the mean of the squared distances between points and line. Every pair `(w, b)` has one, so it is a landscape: east is
# `w`, north is `b`, and the height is the loss.
#
# **Predict:** what shape has it?

# %%
sf.plot(sf.landscape(line, extent=(-2, 2.5, -1.5, 2.5), resolution=101))

# %% [markdown]
# A bowl, seen from above, as for every straight line and squared distances: no false valleys, one lowest point. But it is a long
# bowl, steep across and almost level along. How steep? The second derivative, the *curvature*, says so.

# %%
sf.spectrum(line)

# %% [markdown]
# It curves 19 times as much along the steepest direction (2.54) as along the flattest (0.13). Keep the 2.54 in mind.
#
# ## Which way did it go?
#
# **Predict:** straight to the lowest point?

# %%
sf.plot(sf.landscape(line, run))

# %% [markdown]
# No. The gradient points down the *steepest* way, which is across the long bowl. So the walk first drops to the floor, in some
# twenty steps, and then creeps along it. The loss shows the same: a fall, then a long tail.

# %%
sf.plot(run)

# %%
sf.animate(sf.landscape(line, run), seconds=5, most=40, dpi=80)

# %% [markdown]
# ## Too small, right, too large
#
# Four walkers set out from the same place, with the rates 0.01, 0.5, 0.77 and 0.9. They have 60 steps.
#
# **Predict:** who arrives? Who is fastest? Is larger always faster?

# %%
rates = [0.01, 0.5, 0.77, 0.9]
walkers = [sf.descend(line, lr=rate, steps=60) for rate in rates]
race = sf.landscape(line, walkers)
sf.plot(race, kind="multiples")

# %%
sf.plot(walkers)

# %% [markdown]
# - **0.01** has not even reached the floor. It would arrive, some day.
# - **0.5** is there, nearly as close as the noise in the points allows.
# - **0.77** jumps from wall to wall of the bowl. Each jump is only a little shorter than the one before.
# - **0.9** jumps further with every step. It will never come back.

# %%
small, right, large, lost = walkers
assert small.trace[-1].loss > 50 * right.trace[-1].loss
assert right.trace[-1].loss < 1.1 * line.answer.loss
assert large.trace[-1].loss > 1.5 * right.trace[-1].loss
assert lost.trace[-1].loss > 1e10 * lost.trace[0].loss

# %%
sf.animate(race, kind="multiples", seconds=6, most=40, dpi=75)

# %% [markdown]
# Let the last one go on, and its numbers soon no longer fit into the computer: it *diverges*. That is an answer, not a crash.

# %%
further = sf.descend(line, start=lost, lr=0.9, steps=200)
print(f"{further.ended} at step {further.diverged_at}, the last loss was {further.last_finite.loss:.0e}")
assert further.ended == "diverged"

# %% [markdown]
# ## Where exactly is the edge?
#
# Between 0.77 and 0.9 something breaks. There is a formula: gradient descent is stable up to **2 / L**, where L is the largest
# curvature, our 2.54.

# %%
limit = sf.stability_limit(line.answer.curvature, "sgd")
print(f"2 / {line.answer.curvature:.2f} = {limit:.2f}")

# %% [markdown]
# **Predict:** what do 99 % of that rate do, and 101 %?

# %%
below, above = (sf.descend(line, lr=part * limit, steps=200) for part in (0.99, 1.01))
print(f"99 %: loss {below.trace[0].loss:.3g} -> {below.trace[-1].loss:.3g}")
print(f"101 %: loss {above.trace[0].loss:.3g} -> {above.trace[-1].loss:.3g}")

# %% [markdown]
# The edge is sharp. One per cent below it the walk calms down; one per cent above it grows without end. [Why it
# overshoots](why-it-overshoots.ipynb) shows where the 2 comes from.

# %%
assert below.trace[-1].loss < below.trace[0].loss / 100 and above.trace[-1].loss > 10 * above.trace[0].loss

# %% [markdown]
# ## Can a bad walk be saved?
#
# The walker with 0.77 still jumps. We do not start again: we continue from where it stands, with a smaller rate.
#
# **Predict:** how many of 30 more steps will it need until it jumps no more?

# %%
saved = sf.descend(line, start=large, lr=0.4, steps=30)
sf.plot(saved)

# %% [markdown]
# One or two! The large rate was good for the long way along the floor of the bowl and bad for the last bit across it; the small
# rate is the other way round. That is the whole idea of a *schedule*: begin large, end small.

# %%
left = saved.trace["loss"] - line.answer.loss
assert left[62] < left[60] / 50
assert np.isclose(saved.trace[-1].loss, line.answer.loss, rtol=0.05)

# %% [markdown]
# The loss does not go to zero. The points are noisy, and no line goes through all of them: 0.00037 is what the noise leaves.
#
# ## Could we not just guess?
#
# Draw `w` and `b` at random, keep the best pair, 200 times. No gradient, no learning rate.
#
# **Predict:** how much worse is guessing?

# %%
guess = sf.descend(line, lr=0.5, optimizer="random", steps=200)
sf.plot([guess, run])

# %%
print(f"best guess: loss {guess.trace[-1].loss:.5f}, descent at 0.05: {run.trace[-1].loss:.5f}, at 0.5: {right.trace[-1].loss:.5f}")

# %% [markdown]
# Guessing does rather well here: it beats a descent with a poor rate! (It had luck, and it knew about where to look: its numbers
# are drawn around 0.) With two numbers there is not much room to miss. Now the same with thirty, in a round bowl.

# %%
wide = sf.problems.load("bowl", curvatures=[1.0] * 30)
guesses = sf.descend(wide, lr=0.3, optimizer="random", steps=2000)
descent = sf.descend(wide, lr=0.3, steps=40)
print(f"after 2,000 guesses: {guesses.trace[-1].loss:.2g}, after 40 steps: {descent.trace[-1].loss:.2g}")
sf.plot(guesses)

# %% [markdown]
# Now guessing is stuck: two thousand guesses are worse than forty steps. Nearly every guess is bad in *some* of the thirty
# directions. The gradient knows all thirty at once. A network has thousands to billions of such numbers, which is why nobody trains
# one by guessing.

# %%
assert guess.trace[-1].loss < run.trace[-1].loss
assert guesses.trace[-1].loss > 1e6 * descent.trace[-1].loss

# %% [markdown]
# ## Two knobs at once
#
# How far one gets depends on the rate *and* on the number of steps. Here are 40 rates, each walked for 1,000 steps.
#
# **Predict:** if you can afford ten times the steps, do you need another rate?

# %%
many = sf.descend_many(line, lr=np.geomspace(1e-3, 1.2, 40).tolist(), steps=1000, engine="vmap")
sf.plot(many.runs, kind="map", curvature=line.answer.curvature)

# %% [markdown]
# Read it upwards. With few steps only rates near the edge get anywhere. With many steps a wide range is fine, and a rate that is
# ten times smaller needs about ten times the steps. No number of steps helps on the right of the edge.
#
# ## Your turn
#
# 1. What is the loss after 1,000 steps at 0.005? Which row of the map tells you, before you run it?
# 2. `sf.problems.load("line", noise=0.2)`: does the edge move? Does the final loss?
# 3. Start as we did, at 0.77, but continue with 0.05 rather than 0.4. What happens, and why?
# 4. `sf.descend(line, lr=0.5, schedule="cosine", steps=200)` lowers the rate on the way by itself. Compare it with the constant
#    0.5.
