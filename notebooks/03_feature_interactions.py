# %% [markdown]
# # Feature interactions: from FM to DCNv2
#
# **You will** see what a sum of single features can never learn, write the three classic cures in a few lines each, and
# prove each equal to its brute-force definition.
#
# Data: a planted toy, MovieLens-small (comes with the kit), recorded results. Machine: any, no GPU. Time: 50 minutes with
# the exercises. You need: a little PyTorch, and [02 Metrics](02_metrics.ipynb).
#
# ## The idea: some answers are in the pair
#
# Ann likes action, Bob likes romance. No score for Ann *plus* a score for the film can say so: the answer is in the
# **combination**. A logistic regression on one-hot fields is such a sum,
#
# $$\text{logit} = b + \sum_i w_{x_i}$$
#
# Let us plant a world that consists of nothing else: users and films each belong to one of two camps, and a user likes a
# film exactly if the camps agree (and one answer in ten is flipped by noise).

# %%
import numpy as np
import pandas as pd
import torch
from lesson import pick, profile, results, show
from torch import nn

from laser_core import figures
from laser_core.metrics import auc

print("profile:", profile())
generator = torch.Generator().manual_seed(0)
users, films, size = 40, 30, 8


def world(samples):
    fields = torch.stack([torch.randint(0, count, (samples,), generator=generator) for count in (users, films)], 1)
    agree = (fields[:, 0] % 2) == (fields[:, 1] % 2)
    flipped = torch.rand(samples, generator=generator) < 0.1
    return fields + torch.tensor([0, users]), (agree ^ flipped).float()  # one table for both fields, with an offset


train, test = world(2000), world(2000)
print(f"{len(train[1]):,} samples to learn from, {train[1].mean():.2f} of them positive")

# %% [markdown]
# ## Factorization machine
#
# Give every value a vector, and let the product of two vectors be the weight of the pair (Rendle 2010). DeepFM (Guo et
# al. 2017) adds an MLP on the same vectors:
#
# $$\text{logit} = \sum_i w_{x_i} + \sum_{i<j}\langle v_{x_i}, v_{x_j}\rangle \;(+\ \mathrm{MLP}([v_{x_1};\dots;v_{x_m}]))$$
#
# The double sum costs $m^2$ as written. But a square of a sum holds every pair twice, and each vector with itself once:
#
# $$\sum_{i<j}\langle v_i, v_j\rangle = \tfrac12\Big(\big\|\textstyle\sum_i v_i\big\|^2 - \sum_i \|v_i\|^2\Big)$$

# %%
from laser_core.crm.deepfm import pairwise_products

v = torch.randn(5, 7, size, generator=generator)  # (batch, fields, embedding)
brute = sum((v[:, i] * v[:, j]).sum(1) for i in range(7) for j in range(i + 1, 7))
short = (v.sum(1).square().sum(1) - v.square().sum((1, 2))) / 2
print(
    f"largest difference to brute force: {(short - brute).abs().max():.1e}; "
    f"the kit's: {(pairwise_products(v) - brute).abs().max():.1e}"
)


# %%
class Smallest(nn.Module):
    """First order, and what `pairs` makes of the two vectors: none, an FM, an MLP, a cross layer."""

    def __init__(self, pairs):
        super().__init__()
        self.pairs, width = pairs, 2 * size
        self.weight, self.vector = nn.Embedding(users + films, 1), nn.Embedding(users + films, size)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 1))
        self.cross, self.out = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, fields):
        logit, v = self.weight(fields).sum((1, 2)), self.vector(fields)  # (batch,), (batch, 2, embedding)
        x = v.flatten(1)
        if self.pairs == "FM":
            logit = logit + (v[:, 0] * v[:, 1]).sum(1)
        if self.pairs == "MLP":
            logit = logit + self.mlp(x).squeeze(1)
        if self.pairs == "cross":
            logit = logit + self.out(x * self.cross(x) + x).squeeze(1)
        return logit


def learn(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(train[0]), train[1]).backward()
        optimizer.step()
    return auc(test[1].numpy(), model(test[0]).detach().numpy())


planted = {}
for pairs in ("none", "FM", "MLP", "cross"):
    torch.manual_seed(0)
    planted[pairs] = learn(Smallest(pairs), pick(150, 300))
truth = ((test[0][:, 0] % 2) == ((test[0][:, 1] - users) % 2)).numpy()
found = {name: round(value, 3) for name, value in planted.items()}
print(found, "| who knows the camps:", round(auc(test[1].numpy(), truth), 3))

# %%
note = f"planted toy · {len(train[1]):,} training and {len(test[1]):,} test samples · seed 0"
show(figures.bars(planted, planted.values(), "what the model does with a pair of vectors", "test AUC", note))

# %% [markdown]
# Without pairs the AUC stays near .5, **whatever the number of samples**: the model cannot say it. Every way of
# multiplying the two vectors can. The MLP can too: it is a matter of how directly, and so of how many samples it takes.
#
# ## AutoInt: attention between the fields
#
# AutoInt (Song et al. 2019) lets each field look at all fields of the same sample, weighted by how well they fit:
#
# $$E' = \mathrm{ReLU}\Big(\big[\mathrm{softmax}(Q_hK_h^\top)V_h\big]_{h=1..H} + W_{res}E\Big)$$

# %%
from laser_core.crm.autoint import InteractingLayer

layer, fields = InteractingLayer(size, heads=2), torch.randn(3, 4, size, generator=generator)
query, key, value, residual = layer.project(fields).chunk(4, dim=2)
slow = torch.zeros_like(fields)
for sample in range(3):
    for head in (slice(0, size // 2), slice(size // 2, size)):
        for i in range(4):
            fit = torch.stack([query[sample, i, head] @ key[sample, j, head] for j in range(4)])
            slow[sample, i, head] = sum(
                weight * value[sample, j, head] for j, weight in enumerate(torch.softmax(fit, 0))
            )
slow = torch.relu(slow + residual)
print(f"one field at a time against the kit's layer: {(slow - layer(fields)).abs().max():.1e}")

# %% [markdown]
# ## DCNv2: crosses of any degree, on purpose
#
# DCNv2 (Wang et al. 2021) multiplies the input into itself, layer by layer; beside it runs an MLP:
#
# $$x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l$$
#
# One layer has products of two inputs, two layers products of three: L layers are a polynomial of degree L + 1. That can
# be seen without algebra: move along a straight line, $x_0 = t\,u$ without biases, and fit a polynomial in t.

# %%
from laser_core.crm.dcnv2 import CrossNetwork

network, x0 = CrossNetwork(6, 2).double(), torch.randn(5, 6, generator=generator).double()
slow = x0.clone()
for cross in network.layers:
    slow = torch.stack(
        [
            torch.stack([x0[b, i] * (cross.weight[i] @ slow[b] + cross.bias[i]) + slow[b, i] for i in range(6)])
            for b in range(5)
        ]
    )
print(f"one number at a time against the kit's: {(slow - network(x0)).abs().max():.1e}")
for layers in (1, 2, 3):
    network = CrossNetwork(6, layers).double()
    for cross in network.layers:
        nn.init.zeros_(cross.bias)
    t = np.linspace(-1, 1, 9)
    line = network(torch.from_numpy(t)[:, None] * x0[0]).detach().numpy()[:, 0]
    errors = [np.abs(np.polyval(np.polyfit(t, line, degree), t) - line).max() for degree in range(1, 6)]
    print(
        f"{layers} layers: a polynomial of degree "
        f"{1 + next(place for place, error in enumerate(errors) if error < 1e-9)}"
    )

# %% [markdown]
# ## On real ratings
#
# In the kit the three also get the masked means of the history's item and rating embeddings as two more fields. The
# *plain* input stops there, as in the paper; the *enriched* one adds causal statistics of the whole history. Both are
# recorded; nothing is trained here.

# %%
table = results("movielens-small")
three = table[table["system"].isin(["deepfm", "autoint", "dcnv2"])]
last = three[three["shots"] == "all"].assign(
    input=lambda rows: rows["variant"].replace({"": "enriched", "statistics=false": "plain"})
)
wide = last.pivot_table("auc", "system", "input")
wide.round(4)

# %%
if {"enriched", "plain"} <= set(wide):
    models, inputs = wide["plain"].max() - wide["plain"].min(), (wide["enriched"] - wide["plain"]).mean()
    print(
        "All labels: choosing the best of the three models is worth "
        f"{models:.4f} AUC, the statistics are worth {inputs:.4f}."
    )
    lead = wide["plain"].max() - table.query("system == 'history-lr' and shots == 'all'")["auc"].max()
    print(f"The best of them on the plain input is {abs(lead):.4f} {'ahead of' if lead > 0 else 'behind'} History-LR.")
references = table[table["system"].isin(["history-lr", "stats-lr"])]
plain = three[three["variant"] == "statistics=false"]
titles = {"movielens-small": "MovieLens-small"}
show(figures.sample_efficiency(pd.concat([plain, references]), titles=titles), "recorded")

# %% [markdown]
# Two lessons. With few labels the id embeddings have seen almost nothing, and History-LR is ahead: a clever way to
# multiply vectors is no use while the vectors are noise. And **what a model may read matters more than how it multiplies
# it**. The papers compare the latter; check that the former is equal before believing it.
#
# ## What would change my mind
#
# A data set where the three models differ, on the same input, by more than their intervals, and where the order stays the
# same for another seed and another split. The page *Compare models* of the dashboard asks that for any result.
#
# ## Summary
#
# - A sum over fields cannot express a pair; products of embeddings can, in linear time.
# - FM, attention and cross layers are three ways to write the product; each equals a plain loop.
# - On these data the input decides, not the interaction.
#
# For real: [`deepfm.py`](../laser_core/crm/deepfm.py), [`autoint.py`](../laser_core/crm/autoint.py),
# [`dcnv2.py`](../laser_core/crm/dcnv2.py), [`inputs.py`](../laser_core/crm/inputs.py) (what they read). In the dashboard:
# **Sample efficiency** and **Compare models**.
#
# ## Exercises
#
# **1. All pairs, slowly** (easy, 5 minutes). Write the double loop of the FM: vectors `(batch, fields, embedding)` in,
# `(batch,)` out.

# %%
import checks


def all_pairs(vectors):
    ...
    # BEGIN SOLUTION
    fields = vectors.shape[1]
    return sum((vectors[:, i] * vectors[:, j]).sum(1) for i in range(fields) for j in range(i + 1, fields))
    # END SOLUTION


checks.all_pairs(all_pairs)

# %% [markdown]
# **2. A cross layer** (easy, 5 minutes). `x0` and `x` are `(batch, size)`, `weight` is `(size, size)` (row i makes output
# i), `bias` is `(size,)`.


# %%
def cross_layer(x0, x, weight, bias):
    ...
    # BEGIN SOLUTION
    return x0 * (x @ weight.T + bias) + x
    # END SOLUTION


checks.cross_layer(cross_layer)

# %% [markdown]
# **3. One head of attention between fields** (medium, 10 minutes). `query`, `key`, `value` are `(batch, fields, size)`.
# No loop. (AutoInt does not divide by the root of the size.)


# %%
def attend(query, key, value):
    ...
    # BEGIN SOLUTION
    return torch.softmax(query @ key.transpose(1, 2), dim=2) @ value
    # END SOLUTION


checks.attend(attend)

# %% [markdown]
# **4. Why not one weight a pair?** (easy, 5 minutes). 6,040 users, 3,706 films. How many times as many numbers does a
# table with one weight for each (user, film) pair have as an FM with vectors of 32 and one first-order weight a value?

# %%
times_as_many = ...
# BEGIN SOLUTION
times_as_many = 6040 * 3706 / ((6040 + 3706) * (32 + 1))
# END SOLUTION
checks.times_as_many(times_as_many)
