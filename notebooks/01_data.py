# %% [markdown]
# # The data and its traps
#
# **You will** learn what exactly is predicted from what, check that no sample can see the future, and build three leaks
# on purpose to know them when you meet them.
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
from laser_core.metrics import auc

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
# carries that sample's answer; for a movie rated once, it **is** the answer. The cure is to leave each sample's own fold
# out:
#
# $$\tilde y_j = \frac{\sum_{k \ne \text{fold}(j)} y_k + a\,\bar y}{n + a}$$
#
# Here is one feature, no model at all: the smoothed item mean, used as a score.

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
# A model that is given the leaky feature learns to trust it, and is then worse on the test set than without it. The
# tell-tale: training quality far above validation quality **on a feature that has few numbers to memorise with**.
#
# ## Leak 2: the future
#
# Suppose you split at random. Then a test sample's neighbours in time, before *and after*, are training data. Taste
# drifts and people rate in sittings, so what somebody liked just after the target tells about the target. How much?

# %%
event = data.sample_event[data.test]
first, last = data.user_offsets[data.event_user[event]], data.user_offsets[data.event_user[event] + 1]
# total[b] - total[a]: liked events from a to b, b not included
total = np.concatenate([[0], np.cumsum(data.event_label)])


def liked_share(start, stop):
    return (total[stop] - total[start]) / np.maximum(stop - start, 1)


before = liked_share(np.maximum(first, event - 5), event)
after = liked_share(event + 1, np.minimum(last, event + 6))
future = {"5 ratings before": auc(test_labels, before), "and 5 after": auc(test_labels, before + after)}
pd.Series(future).round(4)

# %%
from laser_core.study import paper

gained = future["and 5 after"] - future["5 ratings before"]
models = paper.table_1().query("dataset == 'ml-1m'").head(8)["auc"]  # the conventional ones
print(f"Five ratings of the future are worth {gained:+.4f} AUC.")
print(
    f"The eight conventional models of the paper's Table 1 (MovieLens-1M) lie within {models.max() - models.min():.4f}."
)

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
# Item popularity is next to useless on BookCrossing where the share of the user's own earlier positives goes far: the
# question there is mostly *does this person give stars at all?*, which is a fact about the person and not about books.
# That is why the kit also has `bookcrossing-explicit`: only real ratings, positive from 8.
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
# That these traps matter would be doubtful if the leaky item mean had kept its promise on the test set, or if five future
# ratings had added nothing. Both are one number above. And the per-user split of MovieLens-small is itself a choice:
# a result that turns round under the global clock of MovieLens-1M was a result about the split.
#
# ## Summary
#
# - A sample is an index into a timeline; its history ends before it.
# - Statistics of labels are computed out of fold, and over the past only.
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
# mean label of all samples where there is no other. Without a loop over samples if you can.


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
# **3. Nested shots** (medium, 10 minutes). Write `draw(rows, n, seed)`: n of the rows at random, such that for one seed a
# smaller draw lies inside every larger one, and another seed draws others.


# %%
def draw(rows, n, seed):
    ...
    # BEGIN SOLUTION
    return np.sort(np.random.default_rng(seed).permutation(rows)[:n])
    # END SOLUTION


checks.nested_shots(draw)

# %% [markdown]
# **4. Who owns the test set?** (easy, 5 minutes). What share of the test samples belongs to the ten users who have most of
# them? (Were it large, the AUC would be about ten people.)

# %%
share_of_ten = ...
# BEGIN SOLUTION
samples_of_user = np.bincount(data.sample_user(data.test))
share_of_ten = np.sort(samples_of_user)[-10:].sum() / len(data.test)
# END SOLUTION
checks.share_of_ten(share_of_ten, data)
