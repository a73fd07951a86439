# %% [markdown]
# # Sequence models: from GRU4Rec to SIM, and the leak a missing mask makes
#
# **You will** read a padded history the right way, build the parts of five sequence models and check them against plain
# loops, and train a model that looks brilliant because it reads its own answers.
#
# Data: MovieLens-small (comes with the kit), recorded results. Machine: any, no GPU. Time: 60 minutes with the
# exercises. You need: PyTorch, and [03 Feature interactions](03_feature_interactions.ipynb).
#
# ## The idea: order and relevance
#
# [01](01_data.ipynb) gave every sample a history. The models of the last notebook average it. Sequence models ask two
# better questions: *in which order* did it happen (GRU4Rec, Caser, SASRec), and *which part of it matters for this target*
# (DIN, SIM)?
#
# Histories differ in length and a tensor does not, so short ones are padded. Real events come first, zeros after them:

# %%
import numpy as np
import torch
from lesson import cells, mean_gap, pick, profile, recorded, results, show
from torch import nn

from laser_core import figures
from laser_core.datasets import load
from laser_core.metrics import auc, delong
from laser_core.study import contrast

data = load("movielens-small")
torch.manual_seed(0)
batch = data.batch(data.test[[0, 700, 2500]], length=8)
print(f"profile: {profile()}\nitem codes of three histories, newest last:\n{batch.history_item}")
print(f"real events: {batch.history_length}")
short = data.batch(data.train[np.argsort(data.sample_event[data.train] - data.history_start(data.train))[:2]], length=8)
print(f"two of the shortest:\n{short.history_item}\nreal events: {short.history_length}")

# %% [markdown]
# ## GRU4Rec: the last *real* state
#
# $$s_k = \mathrm{GRU}(s_{k-1}, h_k), \qquad \text{logit} = \mathrm{MLP}([\text{fields};\, s_{\text{last}}])$$
#
# (Hidasi et al. 2016.) The trap is the index: `states[:, -1]` is the state after the *padding*, and for a short history
# that is another state. Nothing crashes; the model is just a little worse, and its answer depends on how long the longest
# history in the batch happens to be.

# %%
from laser_core.crm.layers import last_real

size = 8
gru, length = nn.GRU(size, size, batch_first=True), torch.tensor([3, 6])
history = torch.randn(2, 6, size) * (torch.arange(6) < length[:, None])[..., None]  # zeros after the real events
states, _ = gru(history)
alone, _ = gru(history[:1, :3])  # the first history, not padded
print(f"last column:     {(states[0, -1] - alone[0, -1]).abs().max():.2f} away from the same history alone")
print(f"last real state: {(last_real(states, length)[0] - alone[0, -1]).abs().max():.2f}")

# %% [markdown]
# ## SASRec: attention that must not look ahead
#
# SASRec (Kang and McAuley 2018) lets every place read the places before it:
#
# $$x_k \leftarrow x_k + \sum_{j \le k} \mathrm{softmax}_j\!\left(\frac{q_k^\top k_j}{\sqrt d}\right) v_j$$
#
# ($d$ is the size of a query. AutoInt, in the last notebook, does without the root; SASRec and the kit's block divide by it.)
# The $j \le k$ is one triangular mask. How do you know that it is there? **Change one event and see whose state changes.**
# (Caser, Tang and Wang 2018, slides convolutions over the same K x e matrix; a window that ends at k cannot look ahead.)

# %%
from laser_core.crm.sasrec import Block

block, history = Block(size, heads=2, dropout=0.0), torch.randn(1, 6, size)
changed = history.clone()
changed[0, 3] = torch.randn(size)
moved = (block(changed) - block(history)).abs().amax((0, 2))
print("event 3 changed; states that moved:", torch.nonzero(moved > 1e-6).flatten().tolist())

# %% [markdown]
# ## DIN: which events matter for this target?
#
# DIN (Zhou et al. 2018) weighs each event by a small network of the event and the target. There is no softmax: how much
# interest there is also counts.
#
# $$a(h, t) = \mathrm{MLP}([h;\, t;\, h - t;\, h \odot t]), \qquad \text{interest} = \sum_{k\ \text{real}} a(h_k, t)\, h_k$$
#
# The kit computes the first layer in a quarter of the steps. Is it the same function? And what does a forgotten mask do?

# %%
from laser_core.crm.din import TargetAttention

attention = TargetAttention(size, (16,))
history, target = torch.randn(2, 6, size), torch.randn(2, size)
real = torch.arange(6) < length[:, None]
slow = torch.zeros(2, size)
for sample in range(2):
    for place in range(int(length[sample])):
        h, t = history[sample, place], target[sample]
        slow[sample] += attention.unit.mlp(torch.cat([h, t, h - t, h * t])) * h
print(f"one event at a time against the kit's: {(slow - attention(history, target, real)).abs().max():.1e}")
# 0.3: in a real model the token of padding is not zero, a linear layer's bias makes it so
wider = 0.3 + nn.functional.pad(history * real[..., None], (0, 0, 0, 6))
narrow, wide = (attention(wider[:, :n], target, torch.ones(2, n, dtype=torch.bool)) for n in (6, 12))
print(f"without a mask, six more places of padding move the interest by {(wide - narrow).abs().max():.2f}")

# %% [markdown]
# So a model without the padding mask gives the same sample another probability in another batch. The kit's tests score
# every system one by one and in batches, and compare.
#
# ## SIM: search the whole life, then attend
#
# Thirty events are little of a long history. SIM (Pi et al. 2020) first *searches* the whole history for the K events most
# like the target (hard: same category; soft: similar vectors), then runs DIN over them. The kit's search, and a plain sort
# by similarity, newest first among equals:

# %%
from laser_core.crm.sim import group_vectors, search

row, most = int(data.test[4000]), 5
vectors = group_vectors(data)
found, _ = search(data, np.array([row]), vectors, most)
events, item = data.history_events(row, 0), data.sample_item([row])[0]
alike = (vectors[data.event_item[events]] @ vectors[[item]].T).toarray()[:, 0]
slow = np.sort(events[np.lexsort([-events, -alike])[:most]])
print(f"target: {data.title(item)} ({data.fields['genres'].text(item)})")
print(f"{len(events)} earlier ratings; the same events as by sorting: {(found == slow).all()}")
for event in found:
    code, stars = data.event_item[event], data.rating_values[data.event_rating[event]]
    print(f"  {stars} stars  {data.title(code)} ({data.fields['genres'].text(code)})")

# %% [markdown]
# ## The leak a missing mask makes
#
# Training at *every* place of a timeline at once is cheap: one pass gives a prediction for each event. It is also where
# the mask decides everything. At place k the model may read the ratings before k. If it can read place k as well (the mask
# is missing, or off by one), then the answer is in its input.
#
# Here is such a model: the target's embedding asks, the events' tokens (item and liked or not) answer.

# %%
width = pick(16, 30)
starts = data.user_offsets[1:-1]
starts = starts[np.diff(data.user_offsets[1:]) >= width]
place = starts[:, None] + np.arange(width)
items, liked = (torch.from_numpy(codes[place].astype(np.int64)) for codes in (data.event_item, data.event_label))
half = len(items) // 2  # half of the users to learn from, the others to test
earlier = torch.tril(torch.ones(width, width, dtype=torch.bool), diagonal=-1)  # [k, j]: place k may read place j
everything = torch.ones(width, width, dtype=torch.bool)


class EveryPlace(nn.Module):
    """A probability at every place, from the places that a mask lets it read, and one that is always there."""

    def __init__(self, size=16):
        super().__init__()
        self.item, self.liked = nn.Embedding(data.items + 1, size), nn.Embedding(2, size)
        self.start = nn.Parameter(torch.zeros(1, 1, size))
        self.query, self.out = nn.Linear(size, size), nn.Linear(2 * size, 1)

    def forward(self, items, liked, mask):
        asked = self.item(items)  # (users, places, size)
        tokens = torch.cat([self.start.expand(len(items), 1, -1), asked + self.liked(liked)], 1)
        mask = torch.cat([torch.ones(len(mask), 1, dtype=torch.bool), mask], 1)
        fit = (self.query(asked) @ tokens.transpose(1, 2)).masked_fill(~mask, -torch.inf)  # (users, places, 1 + places)
        return self.out(torch.cat([torch.softmax(fit, 2) @ tokens, asked], 2)).squeeze(2)


def train(mask):
    torch.manual_seed(0)
    model = EveryPlace()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)
    for _ in range(pick(60, 200)):
        optimizer.zero_grad()
        logits = model(items[:half], liked[:half], mask)
        nn.functional.binary_cross_entropy_with_logits(logits, liked[:half].float()).backward()
        optimizer.step()
    return model


def quality(model, mask):
    with torch.no_grad():
        return auc(liked[half:].numpy().ravel(), model(items[half:], liked[half:], mask).numpy().ravel())


# %%
masked, unmasked = train(earlier), train(everything)
leak = {
    "mask in training and test": quality(masked, earlier),
    "no mask at all": quality(unmasked, everything),
    "no mask, tested honestly": quality(unmasked, earlier),
}
note = f"MovieLens-small · first {width} ratings of {len(items)} users, half to train, half to test · seed 0"
show(figures.bars(leak, leak.values(), "", "test AUC on new users", note))

# %%
for name, value in leak.items():
    print(f"{value:.3f}  {name}")
honest = leak["mask in training and test"]
print(f"The missing mask shows {leak['no mask at all'] - honest:+.3f} AUC that do not exist.")
print(f"With the answers out of sight again: {leak['no mask, tested honestly'] - honest:+.3f} against the masked one.")

# %% [markdown]
# The test users were never trained on, the split is clean, and still the middle bar is a lie: **a held-out set does not
# protect against a leak inside the sample.** What protects is the experiment above: change an event, see who notices.
# The kit's prompts with many targets in one sequence (notebook [06](06_lora.ipynb)) are built and tested with the same idea.
#
# ## On real ratings: does order help?

# %%
table = results("movielens-small").query("shots == 'all'")
plain = table[(table["variant"] == "statistics=false") | table["system"].isin(["history-lr", "stats-lr"])]
show(figures.comparison(plain, titles={"movielens-small": "MovieLens-small, plain input, all labels"}), "recorded")

# %% [markdown]
# Single intervals overlap; the paired difference is what decides ([02](02_metrics.ipynb)). Here are the gaps of all five, to
# DCNv2, which averages the history, and to History-LR, which counts in it; `p_holm` allows for asking several at once.

# %%
names = ["gru4rec", "caser", "sasrec", "din", "sim"]
done = cells().query("dataset == 'movielens-small' and shots == 'all'")
for base in (("dcnv2", "statistics=false"), ("history-lr", "")):
    own = done["system"].isin(names) & (done["variant"] == "statistics=false")
    asked = done[own | (done["system"].eq(base[0]) & done["variant"].eq(base[1]))]
    found = contrast.gaps(recorded().predictions, asked, base).set_index("system").loc[names]
    print(f"minus {base[0]}\n{found[['seeds', 'gap', 'low', 'high', 'p_holm']].round(4)}\n")

# %% [markdown]
# A gap whose interval holds 0 is level. And that a model *can* read the order is no proof that it gains, or loses, by it:
# between it and DCNv2 the whole architecture differs. A control changes the order alone: **the same GRU4Rec, the same labels,
# the same last ratings, each history shuffled.** It is fitted anew: a model that learned in order and meets shuffled histories
# in the test only would show that it *uses* the order, not that another could not do as well without.

# %%
from laser_core.crm.gru4rec import GRU4Rec


class Shuffled(GRU4Rec):
    """GRU4Rec that reads the same histories, each in an order that says nothing."""

    def encode(self, dataset, rows):
        histories = [np.random.default_rng(row).permutation(dataset.history_events(row)) for row in rows]
        return self.inputs_.encode(dataset, rows, (np.concatenate(histories), np.array([*map(len, histories)])))


shots, tests = pick(256, 1024, "all"), []
for seed in range(pick(1, 3, 5)):
    rows, valid = data.shots(shots, seed), data.validation_rows(shots, seed)
    both = [kind(kind.Options(statistics=False)).fit(data, rows, valid, seed) for kind in (GRU4Rec, Shuffled)]
    ordered, shuffled = (model.predict(data, data.test) for model in both)
    tests.append(delong(data.labels(data.test), ordered, shuffled, data.sample_user(data.test)))
gap = mean_gap(np.array([test.difference for test in tests]), np.array([test.standard_error for test in tests]))
print(f"profile: {profile()} · GRU4Rec, plain input · N = {shots} · {len(tests)} seeds")
print("in order minus shuffled: {gap:+.4f} AUC [{low:+.4f}; {high:+.4f}], {says}".format(**gap))

# %% [markdown]
# That line answers the question, for this model and these data. Mind what it is not: an order that helps GRU4Rec does not make
# it the better model. History-LR reads order only as shares of the last 5 and the last 30 ratings: at the same N it is the one to
# set beside GRU4Rec, in the dashboard or in notebook [11](11_sample_efficiency.ipynb).
#
# ## What would change my mind
#
# That order matters to GRU4Rec would be doubtful if the last line held 0; for another model nothing is shown (make `Shuffled`
# a child of it and see). That the mask matters would be doubtful if the middle bar were no higher than the first.
#
# ## Summary
#
# - Take the last real state, not the last column; mask padding, or answers depend on the batch.
# - DIN weighs events by the target; SIM searches first, so it can use a whole life of ratings.
# - Whether order helps is asked by shuffling it, not by setting two architectures side by side.
# - A missing causal mask looks like a breakthrough, on held-out users too.
#
# For real: [`gru4rec.py`](../laser_core/crm/gru4rec.py), [`caser.py`](../laser_core/crm/caser.py),
# [`sasrec.py`](../laser_core/crm/sasrec.py), [`din.py`](../laser_core/crm/din.py), [`sim.py`](../laser_core/crm/sim.py). In
# the dashboard: **User explorer** (which ratings of a history move the answer).
#
# ## Exercises
#
# **1. The mask** (easy, 5 minutes). `(places, places)` booleans: True where place k (row) may read place j (column). A place
# may read what is strictly earlier.

# %%
import checks


def strictly_earlier(places):
    ...
    # BEGIN SOLUTION
    return torch.arange(places)[None, :] < torch.arange(places)[:, None]
    # END SOLUTION


checks.strictly_earlier(strictly_earlier)

# %% [markdown]
# **2. The last real state** (easy, 5 minutes). `states` is `(batch, history, size)`, `length` `(batch,)`; a history of
# length 0 gives zeros.


# %%
def last_state(states, length):
    ...
    # BEGIN SOLUTION
    last = states[torch.arange(len(states)), (length - 1).clamp(min=0)]
    return last * (length > 0)[:, None]
    # END SOLUTION


checks.last_state(last_state)

# %% [markdown]
# **3. A leak detector** (medium, 15 minutes). `function` maps `(places, size)` tokens to `(places, size)` states. Return
# True if any state changes when a *later* token changes.


# %%
def looks_ahead(function, places, size):
    ...
    # BEGIN SOLUTION
    tokens = torch.randn(places, size, dtype=torch.float64)
    before = function(tokens)
    for place in range(1, places):
        changed = tokens.clone()
        changed[place] += 1.0
        if not torch.equal(function(changed)[:place], before[:place]):
            return True
    return False
    # END SOLUTION


checks.looks_ahead(looks_ahead)

# %% [markdown]
# **4. Hard search** (medium, 10 minutes). The last `most` events of sample `row`'s whole history whose item shares a genre
# with the target, oldest first. `data.fields["genres"].values(item)` lists an item's genres.

# %%
same_genre = ...
# BEGIN SOLUTION
wanted = set(data.fields["genres"].values(item))
same_genre = [e for e in events if wanted & set(data.fields["genres"].values(data.event_item[e]))][-most:]
# END SOLUTION
checks.same_genre(same_genre, data, row, most)
