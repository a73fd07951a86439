# %% [markdown]
# # The data and its traps
#
# **You will** learn what exactly is predicted from what, check that no sample can see the future, build two leaks on
# purpose to know them when you meet them, and see how a comparison without controls misjudges one of them.
#
# Data: MovieLens-small (comes with the kit); recorded figures of the other sets. Machine: any, no GPU. Time: 45 minutes
# with the exercises. You need: pandas, and [00 Welcome](00_welcome.ipynb).
#
# ## The idea
#
# Every rating is a place in its user's timeline. A *sample* asks about one of them; its *history* is what the same user
# rated before:
#
# $$\text{sample } (u, t):\quad x = \{(i_s, r_s) : s < t\} \cup \{i_t\}, \qquad y = \mathbb 1[r_t \ge 4]$$
#
# So the history is a slice that ends before the target, and "no leak" is a property of an index, not of our good
# intentions. Most of what goes wrong in recommender experiments goes wrong here, before any model.

# %%
import numpy as np
import pandas as pd
from lesson import cells, pick, profile, show

from laser_core import datasets, figures
from laser_core.datasets import card, load
from laser_core.metrics import auc, delong

data = load("movielens-small")
print(
    f"profile: {profile()} · {data.users:,} users, {data.items:,} movies, "
    f"{data.events:,} ratings; liked: {data.about.label_rule}"
)
pd.DataFrame(card(data)["splits"]).T.round(3)

# %% [markdown]
# Read the last two columns. Every test user is known from training here (`new_user_share` is 0), and a few test movies
# are not. MovieLens-1M is split by one global clock, and most of its validation samples are of users that training never
# saw. A user-id embedding looks useful on the one and harmful on the other, for no reason but the split.
#
# ## Is the split honest?
#
# An honest split by time has, within each user, all training events before all validation events before all test
# events. That is one comparison:

# %%
place = np.full(data.events, -1)
for number, part in enumerate((data.train, data.valid, data.test)):
    place[data.sample_event[part]] = number
inside = place >= 0  # the events that are samples; the others are history only
same_user = np.diff(data.event_user[inside]) == 0
backwards = (np.diff(place[inside])[same_user] < 0).sum()
print(f"{inside.sum():,} samples; steps back in time from one split to an earlier one: {backwards}")

# %% [markdown]
# The value to expect is 0. With a random split it would be thousands (exercise 1).
#
# ## Leak 1: the answer inside a feature
#
# The mean label of an item is a fine feature. Computed over the training samples *including the sample itself*, it
# carries that sample's answer; for a movie rated once, it **is** the answer. The cure: deal the samples into folds, and
# for sample $j$ use the samples of the *same item* in the *other* folds only:
#
# $$\tilde y_j = \frac{\sum_{k \in S_j} y_k + a\,\bar y}{|S_j| + a}, \qquad
# S_j = \{k : \text{item}(k) = \text{item}(j),\ \text{fold}(k) \ne \text{fold}(j)\}$$
#
# $\bar y$ is the mean label of all samples in the other folds. It counts as $a$ further samples of the item, so that an item
# with few (or none) stays near the mean; below $a = 1$ (`smoothing`), and there are ten folds. Here is one feature, no model
# at all: this mean, used as a score.

# %%
from laser_core.crm.statistics import label_means, out_of_fold_means

rows = data.shots(pick(4096, 16384), seed=0)
labels, items = data.labels(rows), data.sample_item(rows)[:, None]
size, smoothing = data.items + 1, 1.0
naive = label_means(items, labels, size, smoothing)[:, 0]  # one mean an item
honest = out_of_fold_means(items, labels, size, smoothing, 10, np.random.default_rng(0))[:, 0, 0]  # one a sample
test_labels = data.labels(data.test)
leak = {
    "train, own label inside": auc(labels, naive[items[:, 0]]),
    "train, out of fold": auc(labels, honest),
    "test": auc(test_labels, naive[data.sample_item(data.test)]),
}
pd.Series(leak).round(3)

# %%
note = f"MovieLens-small · item mean over {len(rows):,} shots · {len(data.test):,} test samples · seed 0"
show(figures.bars(leak, leak.values(), "the same feature, three ways", "AUC of the feature alone", note))

# %%
gap = leak["train, own label inside"] - leak["test"]
rest = leak["train, out of fold"] - leak["test"]
print(f"The leaky feature promises {gap:.2f} AUC more than it keeps; out of fold it promises {rest:.2f} more.")

# %% [markdown]
# And a model that is given the leaky feature? It learns to trust it. A logistic regression with the liked share of the
# user's last 30 ratings, and with the item mean of either kind beside it:

# %%
from sklearn.linear_model import LogisticRegression

event = data.sample_event[data.test]
first, last = data.user_offsets[data.event_user[event]], data.user_offsets[data.event_user[event] + 1]
# total[b] - total[a]: liked events from a to b, b not included
total = np.concatenate([[0], np.cumsum(data.event_label)])


def liked_share(start, stop):
    return (total[stop] - total[start]) / np.maximum(stop - start, 1)


def regression(*columns):
    """Test scores of a regression on columns (for the shots, for the test samples)."""
    shots, test = (np.column_stack(side) for side in zip(*columns, strict=True))
    return LogisticRegression().fit(shots, labels).decision_function(test)


user = [liked_share(data.history_start(part, 30), data.sample_event[part]) for part in (rows, data.test)]
of_test, users = naive[data.sample_item(data.test)], data.sample_user(data.test)  # the test set's item mean is the same
without = regression(user)
fits = {"leaky": regression(user, (naive[items[:, 0]], of_test)), "out of fold": regression(user, (honest, of_test))}
print(f"without an item mean: test AUC {auc(test_labels, without):.3f}")
for kind, scores in fits.items():
    pair = delong(test_labels, scores, without, users)
    print(f"{kind} item mean: {pair.auc_first:.3f}, {pair.difference:+.3f} [{pair.low:+.3f}; {pair.high:+.3f}]")

# %% [markdown]
# (In brackets: the 95 % interval of the paired difference, test users as clusters.) The same feature, computed in two ways:
# one makes the model worse than without it, the other better. The tell-tale: training quality far above validation quality
# **on a feature that has few numbers to memorise with**.
#
# ## Leak 2: the future
#
# Suppose you split at random. Then a test sample's neighbours in time, before *and after*, are training data. Taste
# drifts and people rate in sittings, so what somebody liked just after the target tells about the target. How much? The
# obvious comparison: the liked share of the five ratings before, with and without that of the five after.

# %%
before, after = liked_share(np.maximum(first, event - 5), event), liked_share(event + 1, np.minimum(last, event + 6))
scores = {
    "5 before": before,
    "5 before and 5 after": before + after,
    "10 before": liked_share(np.maximum(first, event - 10), event),
}
whole = last - event > 5  # five later ratings exist


def worth(one, other, chosen):
    """One score minus another one in AUC on some test samples, paired, users as clusters."""
    pair = delong(test_labels[chosen], scores[one][chosen], scores[other][chosen], users[chosen])
    return f"{pair.difference:+.4f} [{pair.low:+.4f}; {pair.high:+.4f}]"


everyone = np.full(len(data.test), True)
print(f"Five ratings of the future are worth {worth('5 before and 5 after', '5 before', everyone)} AUC. Or are they?")

# %% [markdown]
# Two things are wrong with that line. It compares **five ratings with ten**: ten of the past may do as well. And a test
# sample late in its user's timeline has fewer than five later ratings or none, and the share of nothing counts as 0: noise
# that the other score does not have. So add the missing control, ten ratings *before*, and ask also where all ratings exist:

# %%
pairs = [("5 before and 5 after", "5 before"), ("10 before", "5 before"), ("5 before and 5 after", "10 before")]
groups = {"all test samples": everyone, f"the {whole.mean():.0%} with five later ratings": whole}
lines = {name: [worth(*pair, chosen) for pair in pairs] for name, chosen in groups.items()}
pd.DataFrame(lines, index=[" minus ".join(pair) for pair in pairs])

# %%
from laser_core.study import paper

models = paper.table_1().query("dataset == 'ml-1m'").head(8)["auc"]  # the conventional ones
print(f"The future alone, all ratings there: {worth(*pairs[2], whole)} AUC.")
print(
    f"The eight conventional models of the paper's Table 1 (MovieLens-1M) lie within {models.max() - models.min():.4f}."
)

# %% [markdown]
# The last row of the table is the leak: as many ratings, half of them from the future. Read its two columns. On all test
# samples the interval holds 0, and one could have said "no leak". Where all ratings exist it does not, and the leak is larger
# than all that lies between eight published models. **A comparison says what its control lets it say**: change one thing,
# keep the amount, and look at what a missing value is counted as.
#
# %% [markdown]
# ## Trap 3: BookCrossing's label
#
# The paper's second data set has no time at all, and its label is "rating at least 5, where an implicit rating counts
# as 0". The data card says what that means:

# %%
for trap in datasets.about("bookcrossing").traps[:2]:
    print("-", trap)
recorded = cells()
shown = recorded[(recorded["shots"] == "all") & recorded["system"].isin(["popularity", "history-lr"])]
by_set = shown.groupby(["dataset", "system"])["auc"].mean().unstack("system").round(3)
by_set.reindex(datasets.NAMES).astype(object).fillna("not run")

# %% [markdown]
# Of the explicit ratings nearly all are positive, of the implicit ones none: the question is mostly *does this person give stars
# at all?*, a fact about the person and not about books. That is why the kit also has `bookcrossing-explicit`: only real
# ratings, positive from 8. The table is no evidence of it, though one would like it to be: item popularity is next to useless on
# BookCrossing and the share of the user's own earlier positives goes far, but so it is on `bookcrossing-explicit`, which has not
# this trap. The counts of the data card are the evidence; the table is one more comparison whose control says no.
#
# ## Trap 4: what does N count?
#
# "Fitted on 64 samples" must mean 64 *labels in the loss*. Histories may show more ratings, to every system alike. But
# a prompt that asks about every history item as well (some of the kit's language-model systems do) has them in its
# loss too. So the kit records `labels_seen` beside N:

# %%
few = data.shots(64, seed=0)
in_histories = np.concatenate([data.history_events(row) for row in few])
every = np.union1d(in_histories, data.sample_event[few])
print(f"N = {len(few)}: a loss on the targets sees {len(few)} labels, one on every rating shown sees {len(every):,}")
seen = recorded.groupby("system")[["train_rows", "labels_seen"]].sum()
print(
    "systems in the store that saw more than N:", list(seen.index[seen["labels_seen"] > seen["train_rows"]]) or "none"
)

# %% [markdown]
# Put the first system at N = 64 in a figure beside one that really saw 64, and the picture is wrong by a factor that
# you have just printed. The dashboard can draw every curve over either axis.
#
# ## What would change my mind
#
# That these traps matter would be doubtful if the leaky item mean had kept its promise on the test set, or if ten ratings
# of the past had done as well as five of either side *where all of them exist*. Both are printed above. And the per-user
# split of MovieLens-small is itself a choice: a result that turns round under the global clock of MovieLens-1M was a result
# about the split.
#
# ## Summary
#
# - A sample is an index into a timeline; its history ends before it.
# - Statistics of labels are computed out of fold, and over the past only.
# - A leak, like a gain, is measured against a control that has as much of everything else.
# - Know what the label really asks, and what N really counts, before comparing AUCs.
#
# For real: [`dataset.py`](../laser_core/datasets/dataset.py) (histories, nested shots),
# [`statistics.py`](../laser_core/crm/statistics.py) (causal statistics, out-of-fold means),
# [`bookcrossing.py`](../laser_core/datasets/bookcrossing.py). In the dashboard (`laser app`): the page **Data**.
#
# ## Exercises
#
# **1. A dishonest split** (easy, 5 minutes). `shuffled` gives every sample a random split. Count the steps back in time,
# as above, for it.

# %%
import checks

shuffled = np.full(data.events, -1)
shuffled[inside] = np.random.default_rng(0).permutation(place[inside])
steps_back = ...
# BEGIN SOLUTION
steps_back = (np.diff(shuffled[inside])[same_user] < 0).sum()
# END SOLUTION
checks.steps_back(steps_back, data, shuffled)

# %% [markdown]
# **2. Leave one out** (medium, 10 minutes). For each sample: the mean label of the *other* samples of the same item; the
# mean label of all samples where there is no other. Without a loop over samples if you can. (Do not fit on it: exercise 3.)


# %%
def leave_one_out(items, labels):
    ...
    # BEGIN SOLUTION
    count, liked = np.bincount(items), np.bincount(items, labels)
    others = count[items] - 1
    return np.where(others > 0, (liked[items] - labels) / np.maximum(others, 1), labels.mean())
    # END SOLUTION


checks.leave_one_out(leave_one_out)

# %% [markdown]
# **3. It leaks all the same** (medium, 5 minutes). No sample's own label is in its own number, so one could fit on it. But for an
# item with S likes among n samples it is (S - y) / (n - 1): those that were *liked* have the smaller one. Compute the AUC of
# your number against the label among the samples of one item, below. A model with the item's id, or a tree, turns that round and
# has the answer. A fold is drawn without a look at labels, and all its samples of an item share one number: nothing to turn round.

# %%
of_one_item = np.array([1, 0, 1, 1, 0, 1])  # the labels of an item's samples
auc_within = ...
# BEGIN SOLUTION
numbers = leave_one_out(np.zeros(len(of_one_item), dtype=int), of_one_item)
auc_within = auc(of_one_item, numbers)
# END SOLUTION
checks.auc_within(auc_within, of_one_item)

# %% [markdown]
# **4. Nested shots** (medium, 10 minutes). Write `draw(rows, n, seed)`: n of the rows at random, such that for one seed a
# smaller draw lies inside every larger one, and another seed draws others.


# %%
def draw(rows, n, seed):
    ...
    # BEGIN SOLUTION
    return np.sort(np.random.default_rng(seed).permutation(rows)[:n])
    # END SOLUTION


checks.nested_shots(draw)

# %% [markdown]
# **5. Who owns the test set?** (easy, 5 minutes). What share of the test samples belongs to the ten users who have most of
# them? (Were it large, the AUC would be about ten people.)

# %%
share_of_ten = ...
# BEGIN SOLUTION
samples_of_user = np.bincount(data.sample_user(data.test))
share_of_ten = np.sort(samples_of_user)[-10:].sum() / len(data.test)
# END SOLUTION
checks.share_of_ten(share_of_ten, data)
