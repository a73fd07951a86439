# %% [markdown]
# # Metrics, noise and honest references
#
# **You will** compute AUC and log loss by hand, learn how much of a difference is luck, see why an AUC of .7 on this
# task needs no model at all, and ask what is left of it within one user.
#
# Data: MovieLens-small (comes with the kit); recorded figures of the other sets. Machine: any, no GPU. Time: 45 minutes
# with the exercises. You need: a little statistics, and [01 The data](01_data.ipynb).
#
# ## Two systems to measure
#
# History-LR is a logistic regression on how a user rated so far ([00 Welcome](00_welcome.ipynb)); Stats-LR also reads the
# target's mean label. Both are fitted on 256 labels and asked about every test sample:

# %%
import numpy as np
import pandas as pd
from lesson import cells, gap, in_words, pick, profile, recorded, results, show

from laser_core import figures, metrics
from laser_core.datasets import load
from laser_core.study import contrast, paper
from laser_core.study.at_once import predict_at_once
from laser_core.systems import create

data = load("movielens-small")
labels, users = data.labels(data.test), data.sample_user(data.test)
rows, valid_rows = data.shots(256, seed=0), data.validation_rows(256, seed=0)
fitted = {name: create(name).fit(data, rows, valid_rows, seed=0) for name in ("history-lr", "stats-lr")}
said = {name: system.predict(data, data.test) for name, system in fitted.items()}
first, second = said.values()
print(
    f"profile: {profile()} · {len(labels):,} test samples of {len(np.unique(users))} users, {len(rows)} shots, seed 0"
)
pd.DataFrame({name: metrics.evaluate(labels, p) for name, p in said.items()}).T.round(4)

# %% [markdown]
# ## AUC: does it rank?
#
# $$\mathrm{AUC} = P(\hat p_+ > \hat p_-) + \tfrac12 P(\hat p_+ = \hat p_-)
# = \frac{\sum_{+}\mathrm{rank} - n_+(n_+ + 1)/2}{n_+\,n_-}$$
#
# The middle is the meaning, the right side the way to compute it without visiting all $n_+ n_-$ pairs: sort once, add up
# the ranks of the positives (equal scores share their mean rank).

# %%
rank = pd.Series(first).rank().to_numpy()
positives = labels.sum()
by_rank = (rank[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))
higher = first[labels == 1][:, None] > first[labels == 0][None, :]
equal = first[labels == 1][:, None] == first[labels == 0][None, :]
print(f"by ranks {by_rank:.6f}, by pairs {(higher + equal / 2).mean():.6f}, the kit's {metrics.auc(labels, first):.6f}")

# %% [markdown]
# ## Log loss: are the probabilities true?
#
# $$\text{log loss} = -\frac1n\sum_j \log \hat p_j(y_j)$$
#
# AUC sees only the order, so squaring every probability changes nothing for it. Log loss and the calibration error see it
# at once. Which one counts depends on use: ranking needs AUC, bidding and thresholds need probabilities. The paper's
# Table 1 prints both, and some of its rows (DCNv2 and DIN on BookCrossing) have a fine AUC and a log loss near that of a coin:

# %%
coin = metrics.log_loss(labels, np.full(len(labels), 0.5))
printed = paper.table_1().query("dataset == 'bookcrossing'").set_index("row")
printed = printed.loc[["DCNv2", "DIN", "SIM"], ["auc", "log_loss"]]
print(printed.to_string(), f"\nlog loss of a coin: {coin:.4f}")
pd.DataFrame({"as said": metrics.evaluate(labels, first), "squared": metrics.evaluate(labels, first**2)}).T.round(4)

# %%
note = f"MovieLens-small · N = {len(rows)} · seed 0 · {len(labels):,} test rows"
drawn = [("history-lr", "History-LR", labels, first), ("stats-lr", "History-LR, squared", labels, first**2)]
show(figures.calibration(drawn, note))

# %% [markdown]
# On the diagonal a stated probability is the share that happened. Below it a system promises too much, above it too little;
# squaring made every promise too small without touching the order.
#
# ## How much of it is luck?
#
# A test set is a sample. For n rows Hanley and McNeil (1982) give the standard deviation of an AUC of a:
#
# $$\sigma^2 = \frac{a(1-a) + (n_+-1)(\frac{a}{2-a}-a^2) + (n_--1)(\frac{2a^2}{1+a}-a^2)}{n_+\,n_-}$$
#
# Do not believe it, draw: many test sets of each size, and the spread of their AUCs.


# %%
def hanley_mcneil(a, n, share):
    plus, minus = n * share, n * (1 - share)
    spread = a * (1 - a) + (plus - 1) * (a / (2 - a) - a**2) + (minus - 1) * (2 * a**2 / (1 + a) - a**2)
    return (spread / (plus * minus)) ** 0.5


generator, a = np.random.default_rng(0), metrics.auc(labels, first)
spread = {}
for n in (250, 1000, 4000):
    picks = generator.integers(0, len(labels), (pick(100, 400, 2000), n))
    spread[n] = {
        "drawn": np.std([metrics.auc(labels[p], first[p]) for p in picks]),
        "formula": hanley_mcneil(a, n, labels.mean()),
    }
noise = pd.DataFrame(spread).T.rename_axis("test rows")
noise.round(4)

# %%
apart = 1.96 * 2**0.5 * noise.loc[1000, "drawn"]
print(f"With 1,000 test rows two systems on different test sets must lie {apart:.3f} apart to be told apart.")
print(f"BookCrossing has 1,772 test rows: the sd of an AUC of .75 is {hanley_mcneil(0.75, 1772, 0.489):.4f}.")

# %% [markdown]
# ### Users belong together
#
# One person's samples are no independent draws: whoever is easy to predict is so in all of them. So the kit redraws
# *users*, not samples. Comparing on the **same** test users helps, though: their luck is shared, and cancels in the
# difference. That is what a paired test uses (DeLong 1988, with users as clusters).

# %%
by_user = metrics.bootstrap_auc(labels, first, users, draws=pick(200, 1000))
by_row = metrics.bootstrap_auc(labels, first, np.arange(len(labels)), draws=pick(200, 1000))
print(f"sd of the AUC: {by_row.std():.4f} if samples were independent, {by_user.std():.4f} over users")
test = metrics.delong(labels, second, first, users)
print(
    f"Stats-LR minus History-LR: {test.difference:+.4f}, "
    f"paired standard error {test.standard_error:.4f}, p = {test.p_value:.3f}"
)
print(
    f"sd of one AUC over users is {by_user.std() / test.standard_error:.0f} "
    "times the standard error of the paired difference"
)

# %% [markdown]
# So wide, overlapping intervals of two systems decide nothing by themselves: ask for the paired difference.
#
# And then do not believe it yet. A small p says that *other test users* would hardly turn the difference of these two fitted models
# round. Other *labels* might: the next 256 that somebody draws give another pair of models. The recorded runs have the same pair on
# more subsets of as many labels:

# %%
pair = [
    cells().query(
        "dataset == 'movielens-small' and system == @name and shots == 256 and test_rows == 6164 and seed < 5"
    )
    for name in ("stats-lr", "history-lr")
]
both = pair[0].merge(pair[1], on="seed").sort_values("seed")
print("Stats-LR minus History-LR, subset by subset:", *(f"{gap:+.4f}" for gap in both["auc_x"] - both["auc_y"]))
print("together:", in_words(gap(*pair)))

# %% [markdown]
# With few labels the subset is the larger luck. So the kit asks several, pairs them one by one, and its intervals hold both kinds
# of luck.
#
# ## Honest references: what needs no model?
#
# The paper's siblings print an untuned Vicuna-13B at .6993 on MovieLens-1M and .7176 on BookCrossing, and call it
# zero-shot skill. Before admiring it: how far does "people who liked much will like this too" go? Here is that sentence
# as a score. It reads no label of any shot, has no weight, and was never fitted:


# %%
class LikedShare:
    def predict(self, data, rows, progress=None):
        event, start = data.sample_event[rows], data.history_start(rows, 30)
        liked = np.concatenate([[0], np.cumsum(data.event_label)])
        return (liked[event] - liked[start]) / (event - start)


share = LikedShare().predict(data, data.test)
print(f"liked share of the last 30 ratings, no model, N = 0, MovieLens-small: AUC {metrics.auc(labels, share):.3f}")
untuned = paper.matched().query("shots == 0").set_index("dataset")["auc"]
fewest = [
    results(name).query("system == 'history-lr'").sort_values("train_rows").head(1)
    for name in cells()["dataset"].unique()
]
table = pd.concat(fewest).set_index("dataset")[["shots", "seeds", "test_rows", "auc", "auc_low", "auc_high"]]
table.assign(untuned_13b=untuned).round(4).astype(object).fillna("not printed")

# %%
curves = results("ml-1m")
curves = curves[curves["system"].isin(["popularity", "history-lr", "stats-lr", "lightgbm"])]
lines = {"Vicuna-13B untuned, as printed": untuned["ml-1m"]}
titles = {"ml-1m": "MovieLens-1M"}
figure = (
    figures.sample_efficiency(curves, references=lines, titles=titles)
    if len(curves)
    else figures.empty("not run: laser study run crm-ml-1m")
)
show(figure, "recorded")

# %%
for name, row in table.join(untuned.rename("untuned"), how="inner").iterrows():
    outside = not row["auc_low"] < row["untuned"] < row["auc_high"]
    word = "not told apart from" if not outside else "ahead of" if row["auc"] > row["untuned"] else "behind"
    print(
        f"{name}: History-LR with {row['shots']} labels has {row['auc']:.3f} [{row['auc_low']:.3f}; {row['auc_high']:.3f}], "
        f"{word} the untuned model's {row['untuned']:.4f}."
    )

# %% [markdown]
# (Theirs is a number without an interval, on test rows that we cannot pair with ours.)
#
# Hence the rule of this kit: **History-LR and Stats-LR are in every comparison.** A language model that does not beat them at
# the same N has shown nothing about language.
#
# ## Whose pairs? What a recommender is for
#
# AUC asks about *any* positive and *any* negative sample, most often of two users. So who knows which users like much is
# right most of the time. A recommender has another job: of what this one user may see, what first? GAUC asks that (Zhou et
# al. 2018): each user's own AUC, weighted by samples, over the users $U$ whose samples have both labels.
#
# $$\mathrm{GAUC} = \frac{\sum_{u \in U} n_u\,\mathrm{AUC}_u}{\sum_{u \in U} n_u}$$

# %%
asked = {"liked share": (LikedShare(), share), "History-LR": (fitted["history-lr"], first)}
asked["Stats-LR"] = (fitted["stats-lr"], second)
table = {}
for name, (system, p) in asked.items():
    one_by_one = {"AUC": metrics.auc(labels, p), "GAUC": metrics.gauc(labels, p, users)}
    at_once = predict_at_once(system, data, data.test)[1]
    table[name] = one_by_one | {"GAUC, asked at once": metrics.gauc(labels, at_once, users)}
print(f"{metrics.pairs_within_users(labels, users):.2%} of the pairs that AUC counts are of one user.")
pd.DataFrame(table).T.round(3)

# %% [markdown]
# Here is a trap. The liked share, worth so much above, orders a user's own films *worse* than chance. Samples are asked one by one,
# each after all ratings before it, those of earlier test samples too. After a liked film the share is higher, and that film is not
# among those still to come: the history moves against the answer (Miller and Sanjurjo 2018 found the same in "hot hands").
# A recommender is not asked so. It ranks all candidates at one moment, with one history. Asked **at once**, at the moment of each
# user's first test sample, the liked share has nothing to say of one film over another, and its GAUC is one half.
#
# Does a language model help there? Recorded results of systems that were fitted on 1,024 labels and asked at once
# (`laser study at-once within-users`):

# %%
own = cells().query("dataset == 'movielens-small' and shots == 1024 and test_rows == 6164")
own = own[own["key"].isin(recorded().asked_at_once())]
figure, gaps = figures.empty("not run: laser study at-once within-users"), None
if len(own):
    within = contrast.within_users(recorded().at_once, own)
    figure = figures.within_users(within, figures.scale_note(within) + " · N = 1,024, asked at once")
    gaps = contrast.gaps(recorded().at_once, own, ("sim", ""), "gauc")
if gaps is not None:
    print("GAUC minus that of SIM, paired, asked at once:")
    for row in gaps.sort_values("gap").itertuples():
        sure = row.p_holm < 0.05  # of all the questions of this table together: exercise 4
        word = "not told apart" if not sure else "ahead" if row.gap > 0 else "behind"
        name = figures.system_label(row.system, row.variant)
        print(f"{row.gap:+.4f} [{row.low:+.4f}; {row.high:+.4f}], p (Holm) {row.p_holm:.3f}  {name}: {word}")
show(figure, "recorded")

# %% [markdown]
# LLM+CRM is ahead of its own backbone there, and so is Fields+CRM, the same with genres and years as data and no language model; beside
# Stats-LR and Ease-LR, which know the films by their labels, it is level (`results/FINDINGS.md`).
#
# Set the order of the marks beside that of the rings: LLM+CRM on the *plain* input is near the end by AUC and not by GAUC.
# What is known of a film is of use within users, and AUC, nearly all of whose pairs are of two users, hardly sees it.
#
# ## What would change my mind
#
# An untuned language model clearly above the liked share, on the same test rows, by a paired interval that leaves out
# zero. That is a fair fight, and notebook [05](05_prompting.ipynb) has it.
#
# ## Summary
#
# - AUC ranks, log loss tells the truth of probabilities: look at both.
# - The noise of an AUC is .01 to .03 at the usual sizes, more if users are counted rightly; paired differences are far sharper.
# - The first .7 of AUC on this task is arithmetic on the user's own history.
# - Nearly all pairs of AUC are of two users: what a system knows of one user's taste shows in GAUC, asked at once.
#
# For real: [`ranking.py`](../laser_core/metrics/ranking.py), [`bootstrap.py`](../laser_core/metrics/bootstrap.py),
# [`significance.py`](../laser_core/metrics/significance.py), [`reference.py`](../laser_core/crm/reference.py). In the
# dashboard: the page **Compare models** (paired gaps, calibration, slices).
#
# ## Exercises
#
# **1. Log loss by hand** (easy, 5 minutes). Mean over samples; a probability of exactly 0 or 1 that is wrong must give a
# large number, not infinity (keep probabilities between 1e-15 and 1 - 1e-15).

# %%
import checks


def log_loss(labels, probabilities):
    ...
    # BEGIN SOLUTION
    kept = np.clip(probabilities, 1e-15, 1 - 1e-15)
    return -np.mean(np.where(labels == 1, np.log(kept), np.log(1 - kept)))
    # END SOLUTION


checks.log_loss_by_hand(log_loss)

# %% [markdown]
# **2. Same order, worse truth** (easy, 5 minutes). Turn `first` into probabilities with the same AUC and a log loss above 1.

# %%
spoiled = ...
# BEGIN SOLUTION
spoiled = first**6
# END SOLUTION
checks.spoiled(spoiled, labels, first)

# %% [markdown]
# **3. Redraw users** (medium, 15 minutes). Write `redraw(labels, scores, users, draws, seed)`: the AUC of `draws` test sets,
# each made of as many users as there are, drawn with replacement, with all their samples.


# %%
def redraw(labels, scores, users, draws, seed):
    ...
    # BEGIN SOLUTION
    generator = np.random.default_rng(seed)
    own = [np.flatnonzero(users == user) for user in np.unique(users)]
    found = []
    for _ in range(draws):
        rows = np.concatenate([own[user] for user in generator.integers(0, len(own), len(own))])
        found.append(metrics.auc(labels[rows], scores[rows]))
    return np.array(found)
    # END SOLUTION


checks.redraw_users(redraw, labels, first, users)

# %% [markdown]
# **4. Many questions at once** (medium, 10 minutes). Where there is nothing to find, 20 questions at the 5 % level find one thing
# on average. Holm (1979): sort the p-values; the smallest is multiplied by their number m, the next by m - 1, and so on; none
# may be smaller than the one before it, none above 1. Return the corrected values in the order given.


# %%
def holm(p_values):
    ...
    # BEGIN SOLUTION
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(np.sort(p_values) * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(stepped, 1)
    return corrected
    # END SOLUTION


checks.holm_by_hand(holm)
