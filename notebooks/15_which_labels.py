# %% [markdown]
# # Which labels to buy
#
# **You will** leave the question "how many labels?" for the next one, "which?": buy them at random, from as many users as
# possible, or where a model is least sure, and find out whether it made a difference.
#
# Data: MovieLens-small (comes with the kit). Machine: any, no GPU. Time: 40 minutes with the exercises. You need:
# [02 Metrics](02_metrics.ipynb), [11 Sample efficiency](11_sample_efficiency.ipynb).
#
# ## The idea
#
# Every curve of this course drew its N labels at random. If labels cost money, nobody has to: choose. Two old ideas:
#
# - **diverse**: a second label of the same user tells less than a first one of another. Take each user once before any twice.
# - **uncertain** (D. D. Lewis and W. A. Gale, 1994): fit on what you have, then buy where the model is least sure,
#   $\arg\min_i |\hat p_i - \tfrac12|$, and fit again. It is the standard of *active learning*.
#
# If either works, it is sample efficiency for nothing, with no language model in it.

# %%
import numpy as np
import pandas as pd
from lesson import mean_gap, pick, profile, show

from laser_core import figures
from laser_core.datasets import load
from laser_core.metrics import auc, delong, holm
from laser_core.study.summary import mean_error, p_value
from laser_core.systems import create

data = load("movielens-small")
labels, users = data.labels(data.test), data.sample_user(data.test)
counts, seeds = pick((32,), (64, 256)), range(pick(2, 5, 20))
systems = pick(("history-lr",), ("history-lr", "stats-lr", "deepfm"))
options = {}  # of a system, such as {"deepfm": {"statistics": False}}
print(f"profile: {profile()} · {len(data.train):,} training samples to choose from, {len(data.test):,} test rows")

# %% [markdown]
# ## Three ways to choose
#
# Each gets N, a seed and the name of the system that will be fitted, and returns rows of the training split. *uncertain* buys in
# four rounds; the first is random, as there is nothing yet to be unsure with. To keep that cheap it looks at a random pool.


# %%
def fit(system, rows, n, seed):
    model = create(system, **options.get(system, {}))
    return model.fit(data, rows, data.validation_rows(n, seed), seed=seed)


def random(n, seed, system):
    return data.shots(n, seed)


def diverse(n, seed, system):
    rows = np.random.default_rng(seed).permutation(data.train)
    users = pd.Series(data.sample_user(rows))
    turn = users.groupby(users).cumcount()  # how many samples of the same user come before
    return rows[np.argsort(turn, kind="stable")[:n]]


def uncertain(n, seed, system, rounds=4):
    pool = np.random.default_rng(seed).permutation(data.train)[:4000]
    bought = pool[: n // rounds]
    while len(bought) < n:
        left = np.setdiff1d(pool, bought)
        p = fit(system, bought, n, seed).predict(data, left)
        unsure = np.argsort(np.abs(p - 0.5), kind="stable")
        bought = np.concatenate([bought, left[unsure[: n // rounds]]])
    return bought


ways = {"random": random, "diverse": diverse, "uncertain": uncertain}
many = pick(256, 4096)
judge = fit("history-lr", data.shots(many, seed=99), many, seed=99)


def what_it_buys(way, seed):
    rows = ways[way](counts[-1], seed, "history-lr")
    return {
        "users": len(np.unique(data.sample_user(rows))),
        "items": len(np.unique(data.sample_item(rows))),
        "positive": data.labels(rows).mean(),
        "earlier ratings (median)": np.median(data.sample_event[rows] - data.history_start(rows, 0)),
        "mean |p - 1/2|": np.abs(judge.predict(data, rows) - 0.5).mean(),
    }


table = {way: pd.DataFrame([what_it_buys(way, seed) for seed in seeds]).mean() for way in ways}
print(f"N = {counts[-1]}, means over {len(seeds)} seeds; p: of one model with {many:,} labels of another draw")
pd.DataFrame(table).T.round(2)

# %% [markdown]
# *diverse* shows in the first column: as many users as labels, and with them shorter histories, where a random draw goes to the
# heavy users again and again. *uncertain* shows in the last one only: by a model that had no part in the choice, what it buys lies
# nearer to one half. Its users, its items and its share of likes are much like those of a random draw.
#
# One thing is not paid for here: every fit also looks at 256 validation labels, whichever way is on trial, to choose its penalty
# or when to stop. Whoever has 64 labels in all has to take them from these; the ways are compared fairly, the level is too high.
#
# ## Does it help?
#
# Same N, same test rows, same seeds, same validation sample; each way paired with *random* (DeLong's test with users as clusters, and
# the spread over seeds).


# %%
def predictions(way, system, n, seed):
    return fit(system, ways[way](n, seed, system), n, seed).predict(data, data.test)


lines = []
for system in systems:
    for n in counts:
        p = {way: [predictions(way, system, n, seed) for seed in seeds] for way in ways}
        for way in ways:
            line = {"system": system, "N": n, "way": way}
            line["AUC"] = np.mean([auc(labels, one) for one in p[way]])
            if way != "random":
                pairs = zip(p[way], p["random"], strict=True)
                tests = [delong(labels, one, other, users) for one, other in pairs]
                found = np.array([(test.difference, test.standard_error) for test in tests])
                line |= mean_gap(found[:, 0], found[:, 1])
                line["p"] = p_value(line["gap"], *mean_error(found[:, 0], found[:, 1]))
            lines.append(line)
results = pd.DataFrame(lines)
print(f"profile: {profile()} · {len(seeds)} seeds")
results.round(4)

# %%
at_random = results.query("way == 'random'")["AUC"]
print(f"labels at random: AUC {at_random.min():.3f} at least, {at_random.max():.3f} at most")
verdicts = results["says"].dropna()
print(", ".join(f"{word}: {(verdicts == word).sum()} of {len(verdicts)}" for word in ("ahead", "level", "behind")))
chosen = results.dropna(subset="says").assign(test_rows=len(labels))
chosen["variant"] = [f"N = {n}, {way}" for n, way in zip(chosen["N"], chosen["way"], strict=True)]
note = f"MovieLens-small · {len(seeds)} seeds · {len(labels):,} test rows · 95 % intervals over seeds and test users"
show(figures.gaps(chosen.assign(p_holm=holm(chosen["p"])), "auc", "labels at random", note))

# %% [markdown]
# Read the intervals, not the points. Few labels make noisy models, and the noise of *which* labels came is in every one of these
# gaps: with the fewest labels a difference of a hundredth drowns in it. Where all is level, the honest sentence is "choosing did
# not help as far as these seeds can show", not "choosing does not help".
#
# Why might it be hard here? Two guesses that nothing in this notebook tests. The systems read counts of a *history* that costs no
# label, so perhaps any 64 labels teach about the same few weights. And perhaps the least sure samples are those where the truth
# is a coin toss, which teach little.
#
# ## What would change my mind
#
# More seeds: `LASER_PROFILE=full` takes 20, or change `seeds` in the first cell; what the seeds add to an interval shrinks with
# the square root of their number. Or a system that must learn something of each item, for which diversity should count more: set
# `options = {"deepfm": {"statistics": False}}` there, which takes the counted statistics out of DeepFM's input, and run all again.
#
# ## Summary
#
# - Which labels to buy is a question of its own; random is the baseline, and a strong one.
# - *diverse* chooses more users, *uncertain* samples nearer to one half; a difference in the data is not yet one in the AUC.
# - The spread over subsets is the largest noise with few labels: pair by seed, and say how many.
#
# For real: `CTRDataset.shots` in [`dataset.py`](../laser_core/datasets/dataset.py) draws the nested random subsets that every recorded
# run was fitted on.
#
# ## Exercises
#
# **1. Take turns** (medium, 10 minutes). From a list of users, one entry each, give the places of the first N when each user is
# taken once before any is taken twice; among equals the earlier goes first. (By hand, without pandas.)

# %%
import checks


def take_turns(users, n):
    ...
    # BEGIN SOLUTION
    seen, turn = {}, []
    for user in users:
        turn.append(seen.get(user, 0))
        seen[user] = turn[-1] + 1
    return sorted(range(len(users)), key=lambda place: turn[place])[:n]
    # END SOLUTION


checks.take_turns(take_turns)

# %% [markdown]
# **2. Unsure in another sense** (easy, 5 minutes). Give the entropy of each probability in nats,
# $-p \ln p - (1 - p) \ln(1 - p)$, with 0 at 0 and 1. Does ranking by it differ from ranking by $|\hat p - \tfrac12|$?


# %%
def entropy(p):
    ...
    # BEGIN SOLUTION
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -p * np.log(p) - (1 - p) * np.log(1 - p)
    # END SOLUTION


checks.entropy(entropy)

# %% [markdown]
# **3. Seeds enough?** (medium, 10 minutes). The gaps of one way over seeds have a standard deviation `sd`. How many seeds until a
# true gap of `gap` is 1.96 standard errors of their mean away from zero? (Leave the test users out of it.)


# %%
def seeds_for(gap, sd):
    ...
    # BEGIN SOLUTION
    return int(np.ceil((1.96 * sd / gap) ** 2))
    # END SOLUTION


checks.seeds_for(seeds_for)
