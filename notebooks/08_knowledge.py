# %% [markdown]
# # The LLM as feature generator and encoder
#
# **You will** turn films and users into texts, texts into vectors, find out what is in those vectors and what is not, and
# see how a user's text leaks the answer unless it is a snapshot.
#
# Data: MovieLens-small (comes with the kit). Machine: any, no GPU; MiniLM-L6 and SmolLM2-135M (`laser doctor --fetch`,
# and the kit fetches MiniLM when first asked). Time: 50 minutes with the exercises. You need: pandas, a little linear
# algebra, [05 Asking a language model](05_prompting.ipynb). Without weights the cells that need them pass.
#
# ## The idea
#
# [06](06_lora.ipynb) asks the language model about every sample: costly, and it must be asked again tomorrow. Laser's
# other half asks it **once an item and once a user**: write down what is known, encode it, keep the vector.
#
# $$\text{facts} \xrightarrow{\text{LLM writes}} \text{text} \xrightarrow{\text{LLM reads}} z = \frac1T \sum_{t=1}^{T} h_t$$
#
# A conventional model then reads $z$ like any other field ([09](09_laser_crm.ipynb)).

# %%
import numpy as np
import pandas as pd
from lesson import pick, profile, show

from laser_core import figures
from laser_core.datasets import load
from laser_core.knowledge.writer import item_texts, snapshot_end, user_texts
from laser_core.lm import backbones
from laser_core.metrics import auc
from laser_core.study import paper

data = load("movielens-small")
ENCODER, WRITER = "minilm-l6", "smollm2-135m"
here, writes = (backbones.ready(name) is not None for name in (ENCODER, WRITER))
items = np.sort(np.argsort(-data.item_popularity, kind="stable")[: pick(120, 1000, data.items)])  # the most rated
items = items[items > 0]
note = f"MovieLens-small · MiniLM-L6 · {len(items):,} most rated movies"
print(f"profile: {profile()} · {note} · weights: {ENCODER} {here}, {WRITER} {writes}")

# %% [markdown]
# ## Texts
#
# From nothing but the data set: a title, a title with its facts, and a user's rated history as sentences. Templates are
# plain files in `laser_core/knowledge/templates/`.

# %%
row = next(int(row) for row in data.test if len(data.history_events(int(row), 0)) >= 60)
user = int(data.sample_user([row])[0])
for kind in ("title", "metadata"):
    print(f"{kind:9}", item_texts(data, items[:2].tolist(), kind))
end = int(snapshot_end(data, np.array([row]), 30)[0])
print("\nuser     ", user_texts(data, [user], [end], "history")[0][:600], "...")

# %% [markdown]
# The paper lets a 13B model *write* more: theme, mood, who enjoys it. Let the small one try. Read it like a teacher
# correcting an essay.

# %%
if writes:
    from laser_core.knowledge.generate import generate

    asked = []
    some = [int(item) for item in items[: pick(1, 3)]]
    texts = item_texts(data, some, "generated", lambda prompts: asked.extend(prompts) or generate(WRITER, prompts))
    for item, prompt, text in zip(some, asked, texts, strict=True):
        facts = item_texts(data, [item], "metadata")[0]
        words = [word.strip('.,:()"').lower() for word in text.removeprefix(facts).split()]
        echo = np.mean([word in prompt.lower() for word in words])
        print(f"known:   {facts}\nwritten: {' '.join(text.removeprefix(facts).split())}")
        print(f"         {echo:.0%} of the words it wrote stood in its prompt\n")
else:
    print(f"skipped: the weights of {WRITER} are not here (laser doctor --fetch)")

# %% [markdown]
# Look at the share of words that it was handed, and check the rest for yourself: what a 135M-parameter model adds is
# echo, padding, and now and then an invention, for the facts are in weights that it does not have. That is why the kit's
# default encodes the *metadata* and generates nothing, and why generated texts are an option that has to earn its place
# (`item_text = "generated"`), not a belief.
#
# ## Vectors
#
# A text goes through the encoder; the mean of its last hidden states is its vector. Vectors are stored under the text
# itself, so nobody pays twice.

# %%
if here:
    from laser_core.knowledge.encoder import encode

    z = {kind: encode(ENCODER, item_texts(data, items.tolist(), kind)) for kind in ("title", "metadata")}
    z["metadata"].shape
genre = data.fields[data.about.group_field]
has = np.array([[name in genre.values(int(item)) for name in genre.vocabulary] for item in items])  # (items, genres)
size = f"vectors of {z['metadata'].shape[1]} numbers" if here else "no vectors without weights"
print(f"{len(items):,} movies, {size}")


# %% [markdown]
# ### What is in them? Ask for neighbours
#
# Cosine after centring (all texts share a direction, "this is a film", and it tells nothing apart):
#
# $$\cos(z_i, z_j) = \frac{(z_i - \bar z)\cdot(z_j - \bar z)}{\lVert z_i - \bar z\rVert\,\lVert z_j - \bar z\rVert}$$


# %%
def cosines(vectors):
    """(n, n) cosines of centred vectors, the diagonal at -1: nobody is their own neighbour."""
    centred = vectors - vectors.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return unit @ unit.T - 2 * np.eye(len(vectors))


def shared(a, b):
    """(pairs,) whether a pair has a genre in common."""
    return (has[a] & has[b]).any(1)


if here:
    nearest = {kind: cosines(vectors).argmax(1) for kind, vectors in z.items()}
    for place in range(0, len(items), len(items) // 4):
        names = [data.title(items[nearest[kind][place]]) for kind in z]
        print(f"{data.title(items[place])}\n    by title: {names[0]}\n    by facts: {names[1]}")
    everyone, other = np.arange(len(items)), np.random.default_rng(0).permutation(len(items))
    print(f"a genre in common: random pairs {shared(everyone, other).mean():.2f}, ", end="")
    print(f"neighbours by facts {shared(everyone, nearest['metadata']).mean():.2f}")
else:
    print("skipped: no weights")

# %% [markdown]
# Neighbours by facts share genres because **the genres are in the text**; that is no knowledge of the model's. So look at
# neighbours by title. But sequels share words, and films of a year share the year, which stands in the title: whoever counts
# words finds those too. The control is a nearest neighbour by *TF-IDF* (a count of each word, rare words counting more), with
# the year and without:

# %%
from sklearn.feature_extraction.text import TfidfVectorizer

if here:
    titles = item_texts(data, items.tolist(), "title")
    for words, texts in (("with", titles), ("without", [text.rsplit(" (", 1)[0] for text in titles])):
        counts = TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts).toarray()
        by = [shared(everyone, cosines(vectors).argmax(1)) for vectors in (encode(ENCODER, texts), counts)]
        gain = by[0].astype(float) - by[1]
        half = 1.96 * gain.std() / len(gain) ** 0.5  # films as if independent: rather too small
        print(f"{words} the year: by MiniLM {by[0].mean():.2f}, by TF-IDF {by[1].mean():.2f}, ", end="")
        print(f"difference {gain.mean():+.3f} [{gain.mean() - half:+.3f}; {gain.mean() + half:+.3f}]")

# %% [markdown]
# Take random pairs from both: most of what title neighbours share needs no language model, for counting words finds it too.
# What the encoder brought along is **the difference**, as far as its interval leaves out 0. And note what the year does: it
# is one more thing for two titles to have in common, and no genre.
#
# ### A map, and how many directions matter
#
# The principal axes of the vectors, by singular values: $Z - \bar z = U S V^\top$, and axis $k$ carries
# $s_k^2 / \sum_j s_j^2$ of the variance. The kit keeps 32 axes (`components`), learned without labels.

# %%
if here:
    u, s, _ = np.linalg.svd(z["metadata"] - z["metadata"].mean(0), full_matrices=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    print(
        f"two axes carry {share[1]:.0%} of the variance, 32 carry {share[31]:.0%}; "
        f"half of it needs {np.searchsorted(share, 0.5) + 1}"
    )
    plot = pd.DataFrame({"x": u[:, 0] * s[0], "y": u[:, 1] * s[1], "title": [data.title(item) for item in items]})
    wanted = ("Animation", "Horror", "Comedy", "Drama")
    plot["group"] = [next((name for name in wanted if name in genre.values(int(item))), "other") for item in items]
title = "Movies by the first two axes of their text vectors"
show(figures.text_map(plot, note, title) if here else figures.empty("no weights here"))

# %% [markdown]
# Two axes show a small part of the picture: distances on a map are a summary, not a measurement.
#
# ### What is *not* in them
#
# A linear probe: predict a property from the vectors, out of fold. Genres should be easy (they are in the text). But a
# recommender wants to know *whether people like it*.

# %%
if here:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    held_out = np.isin(np.arange(data.events), data.sample_event[data.test])
    count = np.bincount(data.event_item[~held_out], minlength=data.items + 1)[items]
    likes = np.bincount(data.event_item[~held_out], data.event_label[~held_out], data.items + 1)[items]
    mean = likes / np.maximum(count, 1)
    drama, liked = has[:, list(genre.vocabulary).index("Drama")], mean > np.median(mean)
    probes = {}
    for kind, vectors in z.items():
        for what, truth in (("is a drama", drama), ("is liked more than most", liked)):
            model = LogisticRegression(C=0.1, max_iter=500)
            scores = cross_val_predict(model, vectors / vectors.std(), truth, cv=5, method="decision_function")
            probes[kind, what] = auc(truth.astype(int), scores)
    print(pd.Series(probes, name="AUC, out of fold").unstack().round(3).to_string())
else:
    print("skipped: no weights")

# %% [markdown]
# A vector says what a film *is*, and less of whether people like it. The first helps to carry one user's taste from film
# to film; for the second, counting ratings is the better source. Keep that in mind when a gain appears in
# [09](09_laser_crm.ipynb): which of the two is it?
#
# ## The leak: a user's text must be a snapshot
#
# An item's text does not change. A user's does, with each rating, and **the text written today holds yesterday's
# answers**. The rule: write anew after every $e$ events; a sample at event $t$ of a user reads the last text that was
# complete before it,
#
# $$\text{end}(t) = \lfloor t / e \rfloor \cdot e \le t$$
#
# Compare it with what happens if one text a user is written from everything. One crude feature shows it: the liked share
# in the text, as the score for every sample of that user. No language model is needed to leak.

# %%
event = data.sample_event[data.test]
first = data.user_offsets[data.event_user[event]]
liked = np.concatenate([[0], np.cumsum(data.event_label, dtype=int)])
ends = {
    "snapshot every 30": snapshot_end(data, data.test, 30),
    "everything before": snapshot_end(data, data.test, 1),
    "everything, answer included (leak)": data.user_offsets[data.event_user[event] + 1],
}
leak = {}
for name, last in ends.items():
    score = (liked[last] - liked[first] + 1) / (last - first + 2)
    leak[name] = {"AUC": auc(data.labels(data.test), score), "texts that hold the answer": (last > event).mean()}
leak = pd.DataFrame(leak).T
gain = leak["AUC"].iloc[2] - leak["AUC"].iloc[1]
best = paper.table_1().query("dataset == 'ml-1m'")["auc"]
print(f"profile: {profile()} · {len(data.test):,} test rows")
print(
    f"the leak 'gains' {gain:+.3f} AUC; best and worst row of the paper's "
    f"Table 1 (MovieLens-1M) lie {best.max() - best.min():.3f} apart"
)
leak.round(3)

# %% [markdown]
# Set the two numbers of the last line side by side: a leak like this would beat the whole table, and it is air. The kit's
# writer takes an `end` for each user, and a test walks over every sample to see that `end <= t` (`snapshot_end` in
# `laser_core/knowledge/writer.py`). The cost of honesty is age: a snapshot is up to 30 events old.
#
# ## What would change my mind
#
# - Generated texts help: if `item_text = "generated"` is ahead of `"metadata"` in the ablations of
#   [09](09_laser_crm.ipynb), with an interval that leaves out zero. With a larger writer I would expect it.
# - The vectors do know what people like: if the second probe, from *titles alone*, came near the first.
#
# ## Summary
#
# - One text and one vector an item, one a user and snapshot: the language model is asked once and not at every sample.
# - Vectors know what a film is. What comes from the text you wrote, title-only vectors tell; what comes from shared words, a
#   count of words beside them.
# - A user's text is a snapshot that ends before the sample. Anything else is a leak that looks like a discovery.
#
# The real thing: `laser_core/knowledge/` (`writer.py`, `generate.py`, `encoder.py`, `store.py`). Dashboard: **User
# explorer** shows texts and snapshots. Next: [09 Laser, LLM+CRM](09_laser_crm.ipynb).
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/08_knowledge.ipynb`.
#
# **1. Mean pooling, with padding** (medium, 10 minutes). `states` (texts, length, size), `real` (texts, length) 1 for
# tokens and 0 for padding. Return (texts, size). Forget the mask, and short texts all look alike.


# %%
def pool(states, real):
    ...
    # BEGIN SOLUTION
    return (states * real[:, :, None]).sum(1) / real.sum(1, keepdims=True)
    # END SOLUTION


# %%
import checks_lm

checks_lm.mean_pooling(pool)


# %% [markdown]
# **2. The last complete snapshot** (easy, 5 minutes). A user's events start at `first`; a text is written after every
# `every` events. Where does the text that event `event` may read end?


# %%
def last_snapshot(first, event, every):
    ...
    # BEGIN SOLUTION
    return first + (event - first) // every * every
    # END SOLUTION


# %%
checks_lm.last_snapshot(last_snapshot)


# %% [markdown]
# **3. How many axes?** (medium, 10 minutes). The smallest number of principal axes that carry at least `share` of the
# variance of `vectors` (n, size).


# %%
def axes_needed(vectors, share):
    ...
    # BEGIN SOLUTION
    s = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False)
    return int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), share) + 1)
    # END SOLUTION


# %%
checks_lm.axes_needed(axes_needed)
