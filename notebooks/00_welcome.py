# %% [markdown]
# # Welcome: how many labels does a recommender need?
#
# **You will** see the question of this kit, walk the one way through its code once by hand, and draw a first
# sample-efficiency curve.
#
# Data: MovieLens-small (comes with the kit). Machine: any. No language model yet.
#
# ## The question
#
# A recommender predicts whether a user will like an item (*click-through-rate prediction*, CTR). Conventional models
# learn this from very many labels. The paper *Large Language Models Make Sample-Efficient Recommender Systems* claims
# that a language model needs only a small fraction of them. To judge that we need one picture: **quality on unseen
# samples against N, the number of labelled samples a model was fitted on**.
#
# ## One way through
#
# `load -> shots -> fit -> predict -> metric -> curve`
#
# ### Load: what is a sample?

# %%
from laser_core.datasets import load

data = load("movielens-small")
print(f"{data.users:,} users, {data.items:,} movies, {data.events:,} ratings; {data.about.label_rule} counts as liked")
print(f"{len(data.train):,} training, {len(data.valid):,} validation, {len(data.test):,} test samples")

# %% [markdown]
# A sample asks about one rating: *given what this user rated before, will they like this movie?* Everything the same
# user rated earlier is the history. It is a slice of the user's timeline that ends before the target, so it cannot
# contain the answer.

# %%
row = int(data.test[100])
for event in data.history_events(row)[-5:]:
    stars = data.rating_values[data.event_rating[event]]
    print(f"{stars:3} stars  {data.title(data.event_item[event])}")
print(f"liked next? {data.title(data.sample_item([row])[0])}: label {data.labels([row])[0]}")

# %% [markdown]
# ### Shots: which labels may be used?
#
# N shots are N training samples whose *labels* a model may learn from. Histories stay visible for every model alike.
# Shots are drawn at random, fixed by a seed, and nested: the 64 lie inside the 256.

# %%
few, more = data.shots(64, seed=0), data.shots(256, seed=0)
print(set(few) <= set(more), "|", f"liked: {data.labels(few).mean():.2f} of 64, {data.labels(more).mean():.2f} of 256")

# %% [markdown]
# ### Fit and predict
#
# Every system, from a logistic regression to a tuned language model, has the same two methods. History-LR is the
# simplest one worth beating: a logistic regression on how a user rated their last movies. It chooses its penalty on a
# validation sample and never looks at the test set.

# %%
from laser_core.systems import create

model = create("history-lr")
model.fit(data, more, data.validation_rows(256, seed=0), seed=0)
probability = model.predict(data, data.test)
print(probability[:5].round(3), "for labels", data.labels(data.test[:5]))

# %% [markdown]
# ### Metric: AUC
#
# Take a random liked and a random disliked sample. How often does the liked one get the higher probability? That share
# is the AUC:
#
# $$\mathrm{AUC} = P(\hat p_{+} > \hat p_{-}) + \tfrac12 P(\hat p_{+} = \hat p_{-})$$
#
# 0.5 is guessing, 1 is perfect. Log loss measures something else: whether the probabilities themselves are true.

# %%
from laser_core.metrics import evaluate

evaluate(data.labels(data.test), probability)

# %% [markdown]
# ### Curve: the same for several N, seeds and systems
#
# A *study* is a grid of such runs. Each run is kept in your result store (`runs/`), so running this cell again computes
# nothing, and the dashboard (`laser app`) shows the same results.

# %%
from laser_core import figures
from laser_core.settings import get_settings
from laser_core.study import runner
from laser_core.study.spec import Grid, Study
from laser_core.study.store import ResultStore
from laser_core.study.summary import summarise

settings = get_settings()
smoke = settings.profile == "smoke"  # the tests run this notebook in seconds
grid = Grid(
    datasets=("movielens-small",),
    systems=("history-lr", "stats-lr") if smoke else ("history-lr", "stats-lr", "deepfm"),
    shots=(64, 256) if smoke else (64, 256, 1024),
    seeds=(0,) if smoke else (0, 1, 2),
)
study = Study("welcome", "A first curve", "How does quality grow with N?", (grid,), settings.profile)
store = ResultStore(settings.store)
outcome = runner.run(study, store)
results = summarise(runner.results(study, store))
results[["system", "shots", "seeds", "auc", "auc_low", "auc_high"]].round(3)

# %%
import lesson

lesson.show(figures.sample_efficiency(results, title="A first sample-efficiency curve"))

# %% [markdown]
# How to read it: a line higher up is better at the same N; a line further left needs fewer labels for the same quality.
# The band is a 95 % interval over the drawn shots *and* the test users. Where bands overlap, the picture decides
# nothing. History-LR is in every comparison of this kit: a language model that does not beat it at the same N has shown
# nothing.
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/00_welcome.ipynb`.
#
# **1. A history sees no future** (easy, 3 minutes). A model is shown the last 30 ratings before a sample. List their titles
# for sample `row`, oldest first.

# %%
titles = ...
# BEGIN SOLUTION
titles = [data.title(data.event_item[event]) for event in data.history_events(row)]
# END SOLUTION

# %%
import checks

checks.history_sees_no_future(titles, data, row)


# %% [markdown]
# **2. AUC by hand** (medium, 10 minutes). Compute it from the sentence above, without a library's AUC. Mind the ties.


# %%
def auc(labels, scores):
    ...
    # BEGIN SOLUTION
    positive, negative = scores[labels == 1], scores[labels == 0]
    higher = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return (higher + 0.5 * equal).mean()
    # END SOLUTION


# %%
checks.auc_by_hand(auc)

# %% [markdown]
# **3. How many labels?** (medium, 10 minutes). The *match point* of a system is the smallest N whose mean AUC reaches a
# reference. Find the match point of Stats-LR for the reference below, from `curve`; `None` if it is never reached.

# %%
curve = results[results["system"] == "stats-lr"].set_index("shots")["auc"].to_dict()
reference = results[results["system"] == "history-lr"]["auc"].max() - 0.01
match_point = ...
# BEGIN SOLUTION
match_point = next((n for n in sorted(curve) if curve[n] >= reference), None)
# END SOLUTION

# %%
checks.labels_needed(match_point, curve, reference)

# %% [markdown]
# ## Summary
#
# - A sample is a place in a user's timeline; its history cannot contain its answer.
# - N counts the labels a model may learn from. Histories are visible to every system alike.
# - The curve of quality against N, with intervals, is what the rest of this kit is about.
#
# Next: [01 The data and its traps](01_data.ipynb). `laser demo` adds more systems and opens the dashboard.
