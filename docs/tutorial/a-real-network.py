# %% [markdown]
# # A real network
#
# 26,122 weights instead of one or two. Nobody can see such a landscape whole; one can find a good learning rate in it, look at
# slices, and measure how much a slice may be trusted. Everything here works the same with a model of your own: `sf.Problem(model,
# loader, loss=..., validation=...)`.

# %%
import numpy as np

import surefoot as sf

digits = sf.problems.load("digits-mlp")
digits

# %% [markdown]
# ## Which learning rate?
#
# We have 400 steps of plain stochastic gradient descent, 64 pictures each, and a cosine schedule.
#
# **Predict:** 0.001? 0.01? 0.1? 1?

# %%
plan = {"optimizer": "sgd", "steps": 400, "schedule": "cosine"}
found = sf.find_lr(digits, **plan, engine="vmap")
sf.plot(found)

# %% [markdown]
# The blue curve is the classical range test: the rate rises at every step until the loss blows up. It shows where *not* to look.
# The answer rests on real, shorter descents, the circles. The whole search cost less than one training.

# %%
assert found.confident and found.gradients <= plan["steps"] and 0.2 < found.lr < 1.5
run = sf.descend(digits, lr=found.lr, **plan)
sf.plot(run)

# %%
print(f"right on {sf.probe.accuracy_of(digits, run):.0%} of the held-out pictures")

# %% [markdown]
# ## Was that the right one?
#
# Trust, but verify: three and ten times smaller and larger, all walked in one pass.
#
# **Predict:** which side is worse?

# %%
factors = np.array([0.1, 1 / 3, 1.0, 3.0, 10.0])
neighbours = sf.descend_many(digits, lr=(factors * found.lr).tolist(), **plan, engine="vmap")
neighbours

# %%
sf.plot(neighbours.runs[:4])

# %% [markdown]
# Too small is slow, too large is chaos. (The fifth, ten times larger, would spoil the picture: it shot up to thousands and then sat
# at 2.30, which is what guessing among ten digits costs, log 10.) By the held-out loss the rate that was found is the best of the
# five.

# %%
held_out = [each.trace[-1].validation_loss for each in neighbours.runs]
assert np.argmin(held_out) == 2 and abs(held_out[4] - np.log(10)) < 0.05
assert neighbours.runs[4].trace["loss"].max() > 1000
print([f"{loss:.2f}" for loss in held_out])

# %% [markdown]
# ## Can we see the landscape?
#
# Only a slice of it. The best slice for a descent is the plane in which its path moves most, its two *principal directions*.
#
# **Predict:** of 26,122 directions the picture keeps two. How much of the motion is left?

# %%
surface = sf.landscape(digits, run, resolution=41)
sf.plot(surface)

# %% [markdown]
# Nearly all, it seems. But look at what stands beside it: **a random walk would show 76 %** in its own two best directions
# (Antognini and Sohl-Dickstein 2018). So even 95 % is less impressive than it sounds, and a landscape picture without such a number
# proves little.
#
# Two more numbers are honest about the picture: how far the path is from the plane, and by how much the loss on the path differs
# from the colour under it.

# %%
assert surface.explained > surface.by_chance > 0.75
surface

# %% [markdown]
# ## Several rates on one plane
#
# **Predict:** all start at the same weights. Do they go to the same place, only faster or slower?

# %%
racers = [sf.descend(digits, lr=factor * found.lr, **plan) for factor in (0.1, 1 / 3, 1.0, 3.0)]
race = sf.landscape(digits, racers, resolution=41)
sf.plot(race)

# %%
sf.animate(race, seconds=6, most=40, dpi=80)

# %% [markdown]
# The small rates begin along one road, the large one leaves it at once. Different rates end in different places: a learning rate
# does not only choose how fast one gets there but also *where* one gets.
#
# ## A random plane
#
# Many published pictures use two random directions through the end of the training, scaled to the filters of the network (Li et al.
# 2018).
#
# **Predict:** how much of the motion is in it?

# %%
random_plane = sf.landscape(digits, run, plane="random", resolution=41)
sf.plot(random_plane)

# %% [markdown]
# Next to nothing, and the path is a point: what seems to be a walk in a bowl is drawn on a slice that the walk never entered. The
# bowl itself is real. It tells how the loss rises around the end, in a direction that has nothing to do with the training. It is
# good for comparing two minima, not for understanding a descent.

# %%
assert random_plane.explained < 0.05

# %% [markdown]
# ## Does the edge at 2 / L exist here?
#
# In [the line](the-line.ipynb) the largest curvature L sets a limit of 2 / L to the rate. A network is no bowl, and L changes on
# the way. So let us measure it at the start and at the end.
#
# **Predict:** flatter at the end, or steeper?

# %%
start = sf.spectrum(digits, data=500)
end = sf.spectrum(digits, run.weights, data=500)
for name, each in (("start", start), ("end", end)):
    print(f"{name}: L = {each.largest:.2f}, 2 / L = {2 / each.largest:.2f}")

# %% [markdown]
# Much steeper. The ground at the start says little about the ground to come, so the limit measured there would be far too generous.
# The smallest curvature is negative, too: some directions still lead down, this is no minimum.

# %%
assert end.largest > 5 * start.largest
end

# %% [markdown]
# Now all 1,438 pictures in every step, so that no noise disturbs, and a constant rate of 0.5. The edge is where L = 2 / 0.5 = 4.
#
# **Predict:** L rises during training. What happens when it reaches 4? Disaster?

# %%
rate, whole, sharpness = 0.5, None, [start.largest]
for _ in range(8):
    whole = sf.descend(digits, lr=rate, batch_size="full", steps=25, start=whole, validate_every=25)
    sharpness.append(sf.spectrum(digits, whole.weights, data=500).largest)
print([f"{L:.1f}" for L in sharpness])

# %%
sf.plot(whole)

# %% [markdown]
# No disaster. L shoots far beyond 4, the walk jumps across the steepest direction and the loss rises, but the jumps throw it onto
# *flatter* ground. L comes down to about 4 and stays there. This is the **edge of stability** (Cohen et al. 2021). It looks ill and
# is healthy: judge the loss over tens of steps, not over three.

# %%
rises = int((np.diff(whole.trace["loss"]) > 0).sum())
print(f"the loss rose in {rises} of {len(whole.trace)} steps")
print(f"and fell from {whole.trace[0].loss:.2f} to {whole.trace[-1].loss:.3f}")
assert rises > 5 and whole.trace[-1].loss < whole.trace[0].loss / 10
assert max(sharpness) > 2 * 2 / rate and np.allclose(sharpness[4:], 2 / rate, rtol=0.25)

# %% [markdown]
# ## Are two solutions one valley?
#
# Train again with the pictures in another order, and walk on the straight line from one result to the other.
#
# **Predict:** a mountain between them?

# %%
again = sf.descend(digits, lr=found.lr, **plan, seed=1)
same_start = sf.landscape(digits, [run, again], plane="line")
sf.plot(same_start)

# %% [markdown]
# It looks like one, but **read the axis**: the loss rises by about 0.1, where the training began at 2.3. A picture scales whatever it
# shows to its full height.
#
# Now a network that also *began* with other weights.

# %%
other = digits.with_(model=sf.problems.load("digits-mlp", seed=1).model)
stranger = sf.descend(other, lr=found.lr, **plan)
other_start = sf.landscape(digits, [run, stranger], plane="line")
sf.plot(other_start)

# %% [markdown]
# The same shape, several times as high, although both ends are equally good. (The units of the second network do the same work in
# another order, so half-way between is nonsense.) The rise above the straight way is called the *barrier*.

# %%
print(f"barrier: {same_start.barrier:.2f} from one start, {other_start.barrier:.2f} from two")
assert same_start.barrier < 0.2
assert other_start.barrier > 3 * same_start.barrier

# %% [markdown]
# ## What to trust, and what not
#
# | you see | trust it? |
# |---|---|
# | a rate that was verified by descents | yes, within its interval, for *this* number of steps and *this* schedule |
# | the range test's curve alone | for where the loss blows up; not for the best rate |
# | a path on its principal plane | its way, if much more than 76 % is held; not the heights far from it |
# | a bowl on a random plane | how the loss rises around one point; nothing about the path |
# | 2 / L at the start | no: L moves, often upwards |
# | a loss that jitters while it falls | yes, it may well be healthy |
#
# ## Your turn
#
# 1. The same with `optimizer="adamw"`: which rate is found, and how does the landscape differ?
# 2. The edge with a rate of 0.2: to which L does it go, and when?
# 3. `sf.landscape(digits, run, plane="curvature")` shows the two steepest directions. Does the path move in them?
# 4. Give your own model and your own data to `sf.find_lr`. Were you right before?
