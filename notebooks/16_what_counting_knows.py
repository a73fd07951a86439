# %% [markdown]
# # What counting knows
#
# **You will** take the study's strongest reference apart: count what a user likes, what a film is liked, and which films go together,
# see from how many labels on each count is worth something, and ask what that leaves for a language model to add.
#
# Data: MovieLens-small (comes with the kit); recorded figures of MovieLens-1M. Machine: any, no GPU. Time: 45 minutes with the
# exercises. You need: [02 Metrics](02_metrics.ipynb), [09 Laser, LLM+CRM](09_laser_crm.ipynb).
#
# ## Three counts
#
# A language model is asked to beat three logistic regressions that read no text:
#
# | | reads | costs labels? |
# |---|---|---|
# | **History-LR** | what share of the user's earlier ratings were likes: ever, lately, of the genre | hardly: N labels only weigh it |
# | **Stats-LR** | and what share of the shots about *this film* were likes | yes: the film must be in a shot |
# | **Ease-LR** | and what those who rated the same films think of it | yes: *pairs* of films must be |
#
# The last two need labels about the very item. With a few hundred labels and thousands of films, how many is that?

# %%
import numpy as np
import pandas as pd
from lesson import cells, gap, in_words, mean_gap, pick, profile, recorded, results, show

from laser_core import figures
from laser_core.crm.statistics import label_means, out_of_fold_means, rating_scale
from laser_core.datasets import load
from laser_core.metrics import auc, delong
from laser_core.systems import create

data = load("movielens-small")
labels, users = data.labels(data.test), data.sample_user(data.test)
counts, seeds = pick((64,), (64, 256, 1024, 4096)), range(pick(2, 3, 5))
known = {}
for n in (64, 256, 1024, 4096, 16384, "all"):
    shots = np.bincount(data.sample_item(data.shots(n, seed=0)), minlength=data.items + 1)
    about = shots[data.sample_item(data.test)]  # (test samples,) shots about each one's film
    known[n] = {
        "none": np.mean(about == 0),
        "1 or 2": np.mean((about > 0) & (about < 3)),
        "3 or more": np.mean(about > 2),
    }
print(f"{data.items:,} films, {len(data.test):,} test samples. Of these, the share whose film has so many shots:")
pd.DataFrame(known).T.rename_axis("N").map("{:.0%}".format)

# %% [markdown]
# That is the whole case for language models, and it is a good one: of most films there is not a single label, and a title can
# still be read. The counts of a *user* do not have that trouble: a history costs no label.
#
# ## From when on does a count pay?
#
# Each regression reads everything that the one before it reads. Gaps are to History-LR with the same labels, paired over test users
# (DeLong) and seeds.

# %%
systems = ("history-lr", "stats-lr", "ease-lr")
lines = []
for n in counts:
    p = {}
    for system in systems:
        fits = [create(system).fit(data, data.shots(n, s), data.validation_rows(n, s), seed=s) for s in seeds]
        p[system] = [model.predict(data, data.test) for model in fits]
        line = {"N": n, "system": figures.system_label(system), "AUC": np.mean([auc(labels, one) for one in p[system]])}
        if system != "history-lr":
            tests = [delong(labels, *pair, users) for pair in zip(p[system], p["history-lr"], strict=True)]
            found = np.array([(test.difference, test.standard_error) for test in tests])
            line |= mean_gap(found[:, 0], found[:, 1])
        lines.append(line)
print(f"profile: {profile()} · {len(seeds)} seeds · {len(labels):,} test rows")
pd.DataFrame(lines).set_index(["N", "system"]).round(4).astype({"seeds": "Int64"}).astype(object).fillna("")

# %% [markdown]
# Follow one system down the table: with the fewest labels a film's count is next to nothing (there are hardly any), and it grows with
# N. Nothing is learned there in the sense of the other notebooks. The same formula meets more numbers.
#
# ## One count, two ways to read it
#
# A film's liked share is a *mean of labels*. If a shot's own label is in the mean that the same shot is fitted with, the
# regression finds a number that contains the answer, and trusts it. That leak is easiest to see where it is largest: with few labels
# a film, most means are of one label, the shot's own. The cure is to compute each shot's mean *without its fold*.

# %%
rows = data.shots(pick(256, 1024), seed=0)
codes, own = data.sample_item(rows)[:, None], data.labels(rows)
leaky = label_means(codes, own, data.items + 1, smoothing=1.0)
honest = out_of_fold_means(codes, own, data.items + 1, 1.0, 10, np.random.default_rng(0))
print(f"N = {len(rows):,}. AUC of a film's liked share alone,")
print(f"  of the shots themselves, own label in it:  {auc(own, leaky[codes[:, 0], 0]):.3f}")
print(f"  of the shots themselves, out of fold:      {auc(own, honest[:, 0, 0]):.3f}")
print(f"  of the test samples, by all shots:         {auc(labels, leaky[data.sample_item(data.test), 0]):.3f}")

# %% [markdown]
# The first number is the leak and nothing else. The second is what the feature will be worth, as the third shows: with so few labels
# not much. Any feature made of labels wants this question: *is the sample's own label in it?* (Leaving out just the one label is no
# cure: exercise 3 of [01](01_data.ipynb).)
#
# ## Which films go together
#
# Ease (H. Steck, 2019, *Embarrassingly Shallow Autoencoders*) regresses each film's ratings on those of all others, at once. With $X$ the
# ratings (a row a user, what is left after the means are taken away) and $P = (X^\top X + \lambda I)^{-1}$,
#
# $$B_{jt} = -P_{jt} / P_{tt}, \qquad B_{tt} = 0,$$
#
# is the ridge regression of film $t$ on every film but itself: one inverse instead of thousands of fits. Believe nothing: compare.

# %%
events = data.sample_event[data.train]
films = np.argsort(np.bincount(data.event_item[events], minlength=data.items + 1))[::-1][: pick(40, 400)]
place = np.full(data.items + 1, -1)
place[films] = np.arange(len(films))
events = events[place[data.event_item[events]] >= 0]
film, user = place[data.event_item[events]], data.event_user[events]
left = rating_scale(data)[data.event_rating[events]]
left = left - (np.bincount(film, left) / np.bincount(film))[film]  # minus the film's mean
left = left - (np.bincount(user, left) / np.maximum(np.bincount(user), 1))[user]  # and the user's
X = np.zeros((data.users + 1, len(films)))
X[user, film] = left
ridge = 20.0
P = np.linalg.inv(X.T @ X + ridge * np.eye(len(films)))
B = -P / np.diag(P)
np.fill_diagonal(B, 0)

others = np.arange(len(films)) != 7  # the regression of film 7 on all others, the slow way
by_hand = np.linalg.solve(X[:, others].T @ X[:, others] + ridge * np.eye(others.sum()), X[:, others].T @ X[:, 7])
print(f"{len(films)} films; largest difference between the two ways: {np.abs(by_hand - B[others, 7]).max():.1e}")
nearest = {data.title(films[t]): [data.title(films[j]) for j in np.argsort(B[:, t])[::-1][:3]] for t in range(5)}
pd.DataFrame(nearest, index=["most alike", "second", "third"]).T

# %% [markdown]
# Look at *Star Wars*. No title was read: those who liked one more than they usually like things liked its sequels more, too. That is
# knowledge of films, bought with ratings, here with all of them. A text has some of it for nothing. So where does it help?
#
# ## Films with labels and films without
#
# Recorded runs with 1,024 labels: LLM+CRM beside its own backbone SIM, beside Fields+CRM (the same with genres and years as data in the
# place of a language model's vectors) and beside Stats-LR, on test samples whose film has a shot and on those whose film has none. If
# knowing what a film is like only stood in for labels about it, the gain would be in the second row of a pair.

# %%
n, tables = 1024, []
done = cells().query("dataset == 'movielens-small' and train_rows == @n and test_rows == 6164 and variant == ''")
for name in ("sim", "fields-crm", "stats-lr"):
    for has in (True, False):
        found, values = [], []
        for seed in sorted(done["seed"].unique()):
            about = np.isin(data.sample_item(data.test), data.sample_item(data.shots(n, seed))) == has
            keys = [done.query("system == @which and seed == @seed")["key"] for which in ("laser-crm", name)]
            if any(key.empty for key in keys):
                continue  # not recorded
            ours, theirs = (recorded().predictions(key.iloc[0])["probability"].to_numpy()[about] for key in keys)
            test = delong(labels[about], ours, theirs, users[about])
            found.append((test.difference, test.standard_error))
            values.append((np.mean(about), auc(labels[about], ours), auc(labels[about], theirs)))
        if found:
            share, ours, theirs = np.mean(values, axis=0)
            line = {
                "film": "has a shot" if has else "has none",
                "share": f"{share:.0%}",
                "LLM+CRM": ours,
                "beside": theirs,
            }
            tables.append({"beside whom": figures.system_label(name), **line, **mean_gap(*np.array(found).T)})
pd.DataFrame(tables).round(4)

# %% [markdown]
# Compare the two rows of a pair. Where the gain is as large for films that have a label as for films that have none, what is known of a
# film does not *replace* labels about it: it tells SIM something that one or two labels do not tell either. Beside Fields+CRM you see
# how much of it took a language model. And against Stats-LR, whose count of the film is the very thing that is missing in the second row,
# look at whether there is a gain at all.
#
# ## And with all labels?
#
# MovieLens-1M, recorded: the highest rows of the study, with all 776,007 labels. `collaborative=true` gives a neural model Ease's numbers.

# %%
table = results("ml-1m").query("shots == 'all' and test_rows == 97002")
wanted = [("history-lr", ""), ("stats-lr", ""), ("lightgbm", ""), ("ease-lr", ""), ("ease-lightgbm", "")]
wanted += [(name, variant) for name in ("sim", "laser-crm") for variant in ("", "collaborative=true")]
chosen = table[[pair in wanted for pair in zip(table["system"], table["variant"], strict=True)]]
show(figures.comparison(chosen, "auc", titles={"ml-1m": "MovieLens-1M"}), "recorded")

# %%
full = cells().query("dataset == 'ml-1m' and shots == 'all' and test_rows == 97002 and variant == 'collaborative=true'")
pair = [full[full["system"] == name] for name in ("laser-crm", "sim")]
print("LLM+CRM minus SIM, both with Ease's numbers:", in_words(gap(*pair)))

# %% [markdown]
# ## Summary
#
# - Three counts, three prices: a user's own are nearly free, a film's want labels about the film, pairs of films want many.
# - With few labels most films have none: there what else is known of a film has its chance, read by a language model or as data. With
#   all of them, counts of pairs are ahead of LLM+CRM, unless it is handed them too.
# - A count of labels leaks unless the sample's own label is kept out of it.
# - "Sample-efficient" is a comparison. Name the cheapest thing on the other side: it may be a share.
#
# For real: [`statistics.py`](../laser_core/crm/statistics.py) counts, [`collaborative.py`](../laser_core/crm/collaborative.py) regresses
# items on items, [`reference.py`](../laser_core/crm/reference.py) and [`ease.py`](../laser_core/crm/ease.py) are the regressions.
#
# ## Exercises
#
# **1. A careful share** (easy, 5 minutes). Of `count` labels about a film `liked` were likes. Give its liked share as if `weight`
# labels more were known, of which the share `overall` were likes.

# %%
import checks


def careful_share(liked, count, overall, weight):
    ...
    # BEGIN SOLUTION
    return (liked + weight * overall) / (count + weight)
    # END SOLUTION


checks.careful_share(careful_share)

# %% [markdown]
# **2. Nobody said anything** (easy, 5 minutes). `shots` and `tests` are the films of the shots and of the test samples, an entry a
# sample. Give the share of test samples whose film no shot is about.


# %%
def unlabelled(shots, tests):
    ...
    # BEGIN SOLUTION
    return float(np.mean(~np.isin(tests, shots)))
    # END SOLUTION


checks.unlabelled(unlabelled)

# %% [markdown]
# **3. All regressions at once** (medium, 10 minutes). Give $B$ of the formula above for any matrix $X$ `ratings` (users, items) and
# $\lambda$ `ridge`.


# %%
def ease(ratings, ridge):
    ...
    # BEGIN SOLUTION
    inverse = np.linalg.inv(ratings.T @ ratings + ridge * np.eye(ratings.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights
    # END SOLUTION


checks.ease(ease)
