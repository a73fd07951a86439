# %% [markdown]
# # Table 2: inference time, and what caching changes
#
# **You will** read the paper's latency table with suspicion, measure what batch size does to "seconds a sample", and see why
# an LLM can stand behind a recommender that answers as fast as before.
#
# Data: MovieLens-small (comes with the kit), recorded results. Machine: any, no GPU; SmolLM2-135M's weights (93 MB, `laser
# doctor --fetch`) for one cell, which passes without them. Time: 40 minutes with the exercises. You need:
# [10 Table 1](10_overall_performance.ipynb).
#
# ## The paper's table
#
# Seconds a sample; neither batch nor hardware is stated. So absolute values cannot be compared with anybody's. Ratios can,
# with care. Ours: wall seconds of one `predict` call on all test rows, divided by their number, from the recorded runs; one
# thread of a CPU.

# %%
import time

import numpy as np
import pandas as pd
import torch
from lesson import cells, pick, profile, recorded, show

from laser_core import figures
from laser_core.bench.measure import read_record
from laser_core.datasets import load
from laser_core.lm import backbones
from laser_core.settings import get_settings
from laser_core.study import paper
from laser_core.study.routing import routing
from laser_core.systems import SYSTEMS, create


def table_2(dataset):
    lines = {}
    for row, seconds in paper.table_2().query("dataset == @dataset").set_index("row")["seconds"].items():
        names = [name for name, system in SYSTEMS.items() if system.paper_row == row]
        own = cells()[(cells()["dataset"] == dataset) & cells()["system"].isin(names) & (cells()["variant"] == "")]
        own = own[own["train_rows"] == own["train_rows"].max()]
        machines = {recorded().read(key)["provenance"]["hardware"]["cpu"] for key in own["key"]}
        ours = (own["predict_seconds"] / own["test_rows"]).median()
        lines[row] = {"paper": seconds, "ours": ours, "machine": ", ".join(sorted(machines))}
    table = pd.DataFrame(lines).T
    for whose in ("paper", "ours"):
        table[f"{whose}, to SIM"] = table[whose] / table.loc["SIM", whose]
    return table


tables = {name: table_2(name) for name in ("ml-1m", "bookcrossing")}
print("profile:", profile())
shown = pd.concat(tables)
numbers = shown.columns.drop("machine")
shown[numbers] = shown[numbers].map(lambda value: "not run" if np.isnan(value) else f"{value:.3g}")
shown

# %%
for name, table in tables.items():
    llm, both = table.loc[["Laser, LLM only", "Laser, LLM+CRM"], "paper, to SIM"]
    print(f"{name}, paper: LLM only takes {llm:,.0f} times as long as SIM, LLM+CRM {both:.2f} times.")
    missing = ", ".join(table.index[table["ours"].isna()])
    print(f"  not run here: {missing} (laser study run inference-time)" if missing else "  every row was run here too")

# %% [markdown]
# Two numbers of the paper to keep: the LLM alone is thousands of times as slow as a CRM, and LLM+CRM hardly slower than its
# backbone. The first is arithmetic. The second is the interesting one: how can a system with an LLM inside be that fast?
#
# Our column is rough: one call on a whole test set, first reading of files and preparing of vectors included; and rows that were
# run on different machines (`machine`) or beside other work do not make a ratio. Do not read our LLM+CRM row as what an answer
# costs: on the 1,772 test rows of BookCrossing the fixed price is most of it, and on MovieLens-1M `nearby` goes over all earlier
# ratings of each user. An answer is measured apart, further down, in turns on one machine.
#
# ## First, what a second a sample means
#
# A prediction has a fixed price (a call, a gather, the overhead of each layer) and a price a row:
#
# $$\text{seconds a sample}(B) = \frac{c_{\text{call}}}{B} + c_{\text{row}}$$

# %%
data = load("movielens-small")
rows, valid_rows = data.shots(256, seed=0), data.validation_rows(256, seed=0)
fitted = {name: create(name, epochs=1).fit(data, rows, valid_rows) for name in ("dcnv2", "din")}


def timed(work, *given):
    """What some work returns and the wall seconds it took: the best of three, as noise only ever adds."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        result = work(*given)
        times.append(time.perf_counter() - started)
    return result, min(times)


def in_batches(model, batch, total):
    return [model.predict(data, data.test[first : first + batch]) for first in range(0, total, batch)]


batches = {1: pick(8, 30), 32: pick(64, 320), 1024: pick(1024, 4096)}
measured = {name: [timed(in_batches, model, b, n)[1] / n for b, n in batches.items()] for name, model in fitted.items()}
measured = pd.DataFrame(measured, index=list(batches))
measured.rename_axis("batch").map("{:.2e}".format)

# %%
for name in measured:
    times = measured.loc[1, name] / measured.loc[1024, name]
    print(f"{name}: one at a time costs {times:,.0f} times as much a sample as 1,024 at once")
asked = ", ".join(f"{n:,} in batches of {b:,}" for b, n in batches.items())
note = f"MovieLens-small · {len(rows)} shots · one thread · test rows: {asked}"
values = 1e6 * measured["din"]
show(figures.bars([f"batch {b:,}" for b in batches], values, "DIN", "microseconds a sample", note))

# %% [markdown]
# One model, one machine, and "seconds a sample" differs by the factor above. A latency table without the batch size can say
# almost anything.
#
# And is the formula right? Two batch sizes give its two constants, whatever the truth; **the third tests it**. Batches of 1 and
# of 1,024 predict batches of 32:

# %%
for name, (alone, some, many) in measured.items():
    call = (alone - many) / (1 - 1 / 1024)
    says = call / 32 + alone - call
    print(f"{name}, batches of 32: predicted {says:.1e} s a sample, measured {some:.1e}, {some / says:.2f} times that")

# %% [markdown]
# Where the last figure is near 1, the formula holds for that model. It need not: a row is padded to the longest history of *its*
# batch, so it costs more in a large one, and a batch may fit the processor's cache or not. And mind the unit. These are **wall**
# seconds: where other programs share the processor, waiting for it counts (the best of three helps a little). The recorded
# benchmark further down counts **CPU** seconds, so on a busy machine the figures here are larger for that alone: do not divide
# the one by the other.
#
# ## The LLM itself
#
# A transformer does about $2P$ floating-point operations a token, with P parameters. The prompt of a sample has hundreds of tokens:

# %%
here = backbones.ready("smollm2-135m") is not None
if here:
    none, few = np.array([], dtype=int), data.test[:: len(data.test) // pick(2, 8)][: pick(2, 8)]
    lm = create("laser-llm", epochs=0, history=10).fit(data, none, none)
    lm.predict(data, few[:1])  # loads the weights
    started = time.perf_counter()
    lm.predict(data, few)
    each = (time.perf_counter() - started) / len(few)
    tokens = lm.cost_["predict_tokens"] / len(few)
    print(
        f"SmolLM2-135M, {len(few)} prompts with ten ratings: {each:.2f} s a sample, {tokens:.0f} tokens, this machine now"
    )
    for batch in (1, 1024):
        print(f"  {each / measured.loc[batch, 'din']:,.0f} times as long as DIN here in batches of {batch:,}")
else:
    print("skipped: the weights of SmolLM2-135M are not here (laser doctor --fetch)")

# %% [markdown]
# ## What LLM+CRM caches
#
# The LLM+CRM system uses the language model *before* anybody asks: it encodes a text for each item, and with `user_text` set to
# history or generated one for each user every so many events (by default a user's vector is a sum of item vectors and needs no
# text). Served is only the CRM, with two more fields that come out of an adapter (a mixture of experts) over the stored vectors.
# And as a vector's field depends on the vector alone, even the adapter can run once for each vector, not once for each
# prediction. What stays for each prediction are four numbers that compare the target with the user's ratings (`match`,
# `nearby`, `familiar`):
#
# $$c(\text{prediction}) = c_{\text{CRM}} + c_{\text{compare}}
# + \underbrace{\frac{c_{\text{text}} + c_{\text{encode}}}{R}}_{\text{once for } R \text{ uses}}
# + \begin{cases} c_{\text{adapter}} & \text{computed at each call} \\ c_{\text{look-up}} & \text{computed once, stored} \end{cases}$$

# %%
from laser_core.knowledge.adapter import MixtureOfExperts

torch.manual_seed(0)
size, embedding, items = 256, 32, pick(500, 2000)
vectors = torch.randn(items, 2, size)  # stand-ins of text vectors: a user's and an item's
adapter = MixtureOfExperts(2, size, 128, embedding, experts=4, dropout=0.0, scale=1.0).eval()
asked = torch.from_numpy(np.random.default_rng(0).integers(0, items, 4096))
with torch.no_grad():
    stored, once = timed(lambda: adapter(vectors))  # every vector, before serving
    live, each_call = timed(lambda: adapter(vectors[asked]))
    looked_up, look_up = timed(lambda: stored[asked])
print(
    f"4,096 predictions: adapter at each call {1e3 * each_call:.1f} ms, "
    f"look-up {1e3 * look_up:.2f} ms: {each_call / look_up:,.0f} times"
)
print(f"largest difference between the two: {(live - looked_up).abs().max():.1e}")

# %% [markdown]
# The same numbers come out, for a small part of the time. `LaserCRM.prepare` makes and keeps what is looked up; what is left
# is a CRM with two more fields and four more numbers. Does it all then cost what the paper's ratio says? `laser bench
# serving` measures it: SIM and LLM+CRM on SIM answer in turns, on one thread, in CPU-seconds, with all vectors prepared.
# Recorded:

# %%
parts = read_record(get_settings().recorded / "bench" / "serving.json")["parts"]
costs = {}
for part in parts.values():
    print(f"{part['title']} ({part['provenance']['hardware']['cpu']})")
    for one in part["measurements"]:
        costs[one["case"], one["who"]] = one["median"]
        spread = f"{one['median']:,.0f} {one['unit']} ({one['low']:,.0f} to {one['high']:,.0f})"
        print(f"  {one['case']}, {one['who']}: {spread}")
    for one in part["checks"]:
        spread = f"{one['median']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        print(f"  {one['what']}: {spread}; the paper's ratio: {one['goal']}")
llm = next((cost for (_, who), cost in costs.items() if who == "Laser, LLM only"), None)
for (case, who), cost in costs.items():
    if llm and who == "SIM":
        print(f"Laser, LLM only costs {llm / cost:,.0f} times as much as SIM at {case}")
if not parts:
    print("not run: laser bench serving --out results/bench/serving.json")

# %% [markdown]
# (In brackets: the lowest and the highest round.) Hold the rounds' spread beside the ratio before you call one system slower. And
# note once more what the batch does: the same LLM is a different number of times as slow as the same CRM.
#
# ### The price of caching: age
#
# A stored user text (`user_text="history"` or `"generated"`) is a snapshot. Between snapshots it misses the newest ratings, so
# a short interval is fresh and dear, a long one cheap and stale:

# %%
events = np.diff(data.user_offsets[1:])
every = [1, 10, 30, 100]
texts = {n: int(np.ceil(events / n).sum()) for n in every}
missed = {n: (n - 1) / 2 for n in every}
served = {n: round(data.events / texts[n], 1) for n in every}
pd.DataFrame({"user texts to write": texts, "predictions a text serves": served, "newest ratings missed": missed})

# %%
note = "MovieLens-small · one prediction for each of its ratings"
axes = "a new user text every ... ratings", "user texts to write"
show(figures.bars([f"every {n}" for n in every], texts.values(), *axes, note))

# %% [markdown]
# ## A third way: ask only where it pays
#
# If a cheap system is unsure, its probability is near .5. So let it answer, and send a share of samples, those it is least
# sure of, to the LLM (*routing*; the idea is old: C. K. Chow, 1970, a classifier that may decline). The price is a straight line,
# $c(s) = c_{\text{cheap}} + s\, c_{\text{LLM}}$. The hope is that the gain is not: that a tenth of the calls brings most of it. Hold it
# against as many samples drawn *by lot*. Recorded predictions are enough for that, nothing is fitted:

# %%
own = cells().query("dataset == 'movielens-small' and train_rows == 1024 and test_rows == @data.test.size")
pair = ("sim", ""), ("laser-llm-counted", "statistics=true, nearby=0.1")
cheap, dear = (own[(own["system"] == system) & (own["variant"] == variant)] for system, variant in pair)
routes, picture = pd.DataFrame(), figures.empty("not run: laser study run crm-movielens-small, then llm-small")
if len(cheap) and len(dear):
    routes = routing(recorded().predictions, cheap, dear)
    picture = figures.routing(routes, *pair, f"MovieLens-small · N = 1,024 · {len(cheap)} and {len(dear)} seeds")
show(picture, "recorded")

# %% [markdown]
# `gap` is what asking a share adds to SIM's AUC, `lot` how much more that is than asking as many by lot:

# %%
routes.round(4)

# %% [markdown]
# If the line lies hardly above the broken one, SIM's unsureness is no good reason to ask: the gain is bought sample by sample, at the
# same price wherever you buy. (Both may find the same samples hard.) **Cost and latency** in the dashboard does this for any pair.
#
# ## What would change my mind
#
# That LLM+CRM is as fast as a CRM would be wrong where users are new at each request (nothing is cached for them), or where
# the text must know the last click. And it says nothing of the bill before serving: writing the texts is where the LLM's time
# goes. Count it (exercise 2).
#
# ## Summary
#
# - Seconds a sample mean nothing without batch and hardware; compare ratios from one machine.
# - The LLM alone pays for each prediction; LLM+CRM pays once for each text, and serves look-ups.
# - What caching costs is freshness, and the texts themselves.
# - Asking the LLM for some samples only costs and gains in proportion, unless unsureness says who needs it: compare with a lot.
#
# For real: [`laser_crm.py`](../laser_core/knowledge/laser_crm.py) (`serve`), [`adapter.py`](../laser_core/knowledge/adapter.py),
# [`store.py`](../laser_core/knowledge/store.py), [`bench/`](../laser_core/bench/). In the dashboard: **Cost and latency**.
#
# ## Exercises
#
# **1. The paper's ratio** (easy, 5 minutes). Mean over both data sets of seconds(LLM+CRM) / seconds(SIM), from
# `paper.table_2()`.

# %%
import checks

ratio = ...
# BEGIN SOLUTION
wide = paper.table_2().pivot(index="dataset", columns="row", values="seconds")
ratio = (wide["Laser, LLM+CRM"] / wide["SIM"]).mean()
# END SOLUTION
checks.ratio(ratio)

# %% [markdown]
# **2. When does a text pay?** (medium, 10 minutes). Writing and encoding a text takes `text` seconds, a CRM prediction `crm`,
# an LLM prediction `llm`. After how many predictions from one text (a whole number) is LLM+CRM cheaper in total than the LLM
# alone?


# %%
def pays_after(text, crm, llm):
    ...
    # BEGIN SOLUTION
    return int(text / (llm - crm)) + 1
    # END SOLUTION


checks.pays_after(pays_after)

# %% [markdown]
# **3. Fixed and variable** (medium, 10 minutes). From seconds a sample at two batch sizes, find `(c_call, c_row)` of the
# formula above.


# %%
def split_cost(batches, seconds):
    ...
    # BEGIN SOLUTION
    (a, b), (s, t) = batches, seconds
    call = (s - t) / (1 / a - 1 / b)
    return call, s - call / a
    # END SOLUTION


checks.split_cost(split_cost)

# %% [markdown]
# **4. Route within a budget** (medium, 10 minutes). The cheap system gave each sample a probability (`p`, an array) for `cheap`
# seconds a sample. Asking the LLM costs `llm` seconds a sample *on top*. Return the places of the samples to ask about, the
# least sure first and of equals the earlier, as many as `budget` seconds for all of it allow.


# %%
def ask(p, cheap, llm, budget):
    ...
    # BEGIN SOLUTION
    afford = max(0, int((budget - cheap * len(p)) // llm))
    return np.argsort(np.abs(p - 0.5), kind="stable")[:afford]
    # END SOLUTION


checks.ask_within(ask)
