# %% [markdown]
# # Laser, LLM+CRM
#
# **You will** write a mixture of experts in six lines, put text vectors into a conventional model with it, and find out by
# controls whether a gain is the language model's or the plumbing's.
#
# Data: MovieLens-small (comes with the kit); recorded figures. Machine: any, no GPU; MiniLM-L6 for the real vectors (the
# kit fetches it when first asked). Time: 50 minutes with the exercises. You need: PyTorch basics,
# [08 The LLM as feature generator and encoder](08_knowledge.ipynb). Without weights the control arms run alone.
#
# ## The idea
#
# [08](08_knowledge.ipynb) left us with a vector a film and a vector a user, too long and too general for a small model.
# An *adapter* makes two embeddings of them, trained together with the conventional model; the language model stays
# frozen. The paper's adapter is a **mixture of experts**: $K$ small networks, and a gate of its own for each vector that
# says how much each of them counts,
#
# $$E_k(x) = W^{(2)}_k\,\mathrm{ReLU}(W^{(1)}_k x + b^{(1)}_k) + b^{(2)}_k, \qquad
# \text{field}_v = \sum_{k=1}^{K} \mathrm{softmax}(G_v x_v + c_v)_k \, E_k(x_v)$$
#
# The experts are shared by user and item vectors, the gates are not. (The kit multiplies the field by a fixed number, `scale`,
# so that it starts as small as the other embeddings.)

# %%
import json

import numpy as np
import pandas as pd
import torch
from lesson import cells, gap, in_words, pick, profile, show

from laser_core import figures
from laser_core.datasets import load
from laser_core.knowledge.adapter import MixtureOfExperts
from laser_core.lm import backbones
from laser_core.settings import get_settings
from laser_core.study import contrast, paper, runner
from laser_core.study.spec import Grid, Study
from laser_core.study.store import ResultStore
from laser_core.systems import create

data = load("movielens-small")
here = backbones.ready("minilm-l6") is not None
missing = "" if here else "not here: controls only (laser doctor --fetch)"
print(f"profile: {profile()} · weights of minilm-l6: {missing or 'here'}")

# %% [markdown]
# ## The smallest code
#
# Six lines, and then the kit's module with the same weights. Expect rounding.


# %%
def experts(x, moe, vector):
    """(batch, size) -> (batch, embedding), as the formula says."""
    gate = torch.softmax(moe.gates[vector](x), dim=1)  # (batch, K)
    field = 0
    for k in range(len(moe.first)):
        hidden = torch.relu(x @ moe.first[k] + moe.first_bias[k])  # (batch, hidden)
        field = field + gate[:, k : k + 1] * (hidden @ moe.second[k] + moe.second_bias[k])
    return moe.scale * field


torch.manual_seed(0)
moe = MixtureOfExperts(vectors=2, size=32, hidden=128, embedding=32, experts=4, dropout=0.5, scale=0.1).eval()
x = torch.randn(5, 2, 32)  # five samples, each with a user and an item vector
with torch.no_grad():
    by_hand = torch.stack([experts(x[:, vector], moe, vector) for vector in range(2)], dim=1)
    print(f"largest difference from the kit's module: {(by_hand - moe(x)).abs().max():.1e}")
learned = sum(weight.numel() for weight in moe.parameters())
print(f"{learned:,} numbers to learn; the frozen encoder has {backbones.get('minilm-l6').parameters:,.0f}")

# %% [markdown]
# ## Fit one
#
# `laser-crm` is a conventional model (`backbone_crm`) with two more fields. A user's vector is by default not of a text:
# it is the sum of liked minus disliked item vectors, so that its product with the target's vector says *how far this
# film is like those they liked* (option `match`). A mean of everything liked is blunt, so `nearby` asks what the user
# thought of *the films nearest to the target*: a kernel regression over their ratings in the space of the vectors
# (`laser_core/knowledge/nearby.py`). And `familiar` asks the language model how likely it finds the title
# (`laser_core/knowledge/familiarity.py`): what it has read often is famous, and the famous is liked more. None of the
# three reads the label of a shot, two read the user's earlier ratings, as every system may; few labels tell what they are
# worth.
#
# Here we take the **plain** input (`statistics=False`): with hand-made statistics of the history in the input, there is
# less left for vectors to say, and the recorded runs show both. And no `nearby`, no `familiar`: adapter and match alone. Do the
# experts specialise? A gate that gives all of them the same weight makes an average of the mixture.

# %%
n, even = 256, {}
for which in ("random", "real") if here else ("random",):
    for shots in (n, pick(512, 4096)):
        model = create("laser-crm", backbone_crm="deepfm", statistics=False, vectors=which, nearby=0.0, familiar=False)
        model.fit(data, data.shots(shots, seed=0), data.validation_rows(shots, seed=0), seed=0)
        table = torch.from_numpy(model.encode(data, data.test[:500]).vectors[1][0])  # item vectors
        torch.manual_seed(0)  # as `fit` does: the same start
        with torch.no_grad():
            gates = [torch.softmax(one.embeddings.adapter.gates[1](table), 1) for one in (model.build(), model.model_)]
        even[which, shots] = [float(-(gate * gate.log()).sum(1).mean() / np.log(gate.shape[1])) for gate in gates]
pd.DataFrame(even, index=["evenness at the start", "at the end"]).T.rename_axis(["vectors", "N"]).round(3)

# %% [markdown]
# How evenly a gate spreads: 1 is all experts alike, 0 one expert alone. Compare the two columns, not one figure with 1: the end
# with where the gate was drawn at random. Evenness near its start says that the gate has learned little, and not why. On
# *random* vectors there is nothing to specialise on, whatever N; they are the control for the real ones. And one seed shows no
# cause. (Whether four experts are worth more than one is asked further down.)
#
# ## The controls
#
# Half of these models had **random vectors**, on purpose. An adapter brings parameters, two more fields and the *match* number;
# each of them may help although no language model said a word. So every claim here needs arms that differ in the vectors
# only:
#
# | `vectors` | what it is | what it keeps |
# |---|---|---|
# | `real` | text vectors | everything |
# | `shuffled` | each film has *another* film's vector | the vectors' shape, not whose they are |
# | `random` | normal numbers, always the same for a film | that films differ |
# | `none` | no adapter at all | the conventional model |
#
# `random` and `shuffled` are still *ids in disguise*: a vector of its own for each film lets the user's liked-minus-disliked
# sum count how liking went so far. If they gain over `none`, that gain is the plumbing's. What the texts bring is
# **`real` minus `shuffled`**.
#
# And *texts* are not yet *language models*. Two systems have the same adapter, match and `nearby` without one: `words-crm` on the
# counted words of the very same texts (TF-IDF on its first singular vectors, Deerwester et al., 1990;
# `laser_core/knowledge/words.py`), `fields-crm` on genres and years as data, with neighbouring years alike
# (`laser_core/knowledge/fields.py`). What took a language model is what LLM+CRM has over **the better of the two**; the recorded
# runs below have it.

# %%
arms = ("real", "shuffled", "random", "none") if here and profile() != "smoke" else ("random", "none")
grid = Grid(
    datasets=("movielens-small",),
    systems=("laser-crm",),
    shots=(n,),
    seeds=tuple(range(pick(1, 5))),
    # the steadiest of the backbones, and the quickest; adapter and match alone are on trial
    options={"statistics": False, "backbone_crm": "deepfm", "nearby": 0.0, "familiar": False},
    vary={"vectors": arms},
)
study = Study("controls", "Controls", "Is it the texts?", (grid,), profile())
store = ResultStore(get_settings().store, get_settings().recorded)
outcome = runner.run(study, store)
done = runner.results(study, store)
done = done[done["status"] == "done"].assign(arm=lambda table: table["options"].str.extract(r'"vectors": ?"(\w+)"')[0])
means = done.groupby("arm")["auc"].agg(["mean", "std", "count"])
tests = int(done["test_rows"].max())
print(f"profile: {profile()} · movielens-small · N = {n} · seeds {len(grid.seeds)} · {tests:,} test rows")
means.round(3)

# %%
names = done.groupby("arm")["variant"].first()


def against(arm):
    """Paired gaps of every other arm to one arm: same seeds, same test rows."""
    return contrast.gaps(store.predictions, done, ("laser-crm", names[arm]))


for sides in ("random none", "shuffled none", "real none", "real shuffled", "real random"):
    arm, other = sides.split()
    if arm in names and other in names:
        pair = against(other).set_index("variant").loc[names[arm]]
        word = "more" if pair["low"] > 0 else "less" if pair["high"] < 0 else "no difference shown"
        print(f"{arm} minus {other}: {pair['gap']:+.3f} AUC ({pair['low']:+.3f} to {pair['high']:+.3f}): {word}")
base = "none" if "none" in names else names.index[0]
note = f"MovieLens-small · LLM+CRM, plain input · N = {n} · seeds {len(grid.seeds)} · paired 95 % intervals"
arms_of = {variant: arm for arm, variant in names.items()}
drawn = against(base).assign(variant=lambda table: table["variant"].map(arms_of))
show(figures.gaps(drawn, "auc", "without vectors", note, "Gain over the same model without vectors"))

# %% [markdown]
# Read in the order of the lines: what the controls gain over nothing, what the real vectors gain over nothing, and then what
# they gain **over the controls**. Only the last two are about the texts. Where a control gains as well, you have learned how
# a paper without controls would have fooled you; where it *loses*, "real minus none" is the more modest figure of the two.
#
# ## The recorded runs
#
# The same from the store, for the paper's backbone SIM and others, the plain input and the enriched one (`statistics`),
# each N apart; `knows` says whether `nearby` and `familiar` are read too (*all*, the default) or not. Two questions for
# each: is it ahead of the same adapter on *random* vectors, and is it ahead of *the CRM alone*? A third below: of the same without
# a language model? Intervals are paired, over seeds and test users; where there are fewer than three seeds we do not count.

# %%
laser = cells()[cells()["system"] == "laser-crm"]
usual = r"((statistics|backbone_crm|vectors|nearby|familiar)=[^,]+(, )?)*"  # what is else as it comes
laser = laser[laser["variant"].str.fullmatch(usual)]
options = pd.DataFrame(laser["options"].map(json.loads).tolist(), index=laser.index)
options = options.reindex(columns=["statistics", "backbone_crm", "vectors", "nearby", "familiar"])
text = np.where(options["statistics"].eq(True), "enriched", "plain")
near, familiar = options["nearby"].ne(0), options["familiar"].eq(True)
knows = np.where(near & familiar, "all", np.where(near | familiar, "", "adapter, match"))
laser = laser.assign(crm=options["backbone_crm"], vectors=options["vectors"], input=text, knows=knows)
laser = laser[laser["knows"] != ""]
lines = []
for (dataset, knows, size, crm, text), same in laser.groupby(["dataset", "knows", "train_rows", "crm", "input"]):
    at = cells()[(cells()["dataset"] == dataset) & (cells()["train_rows"] == size) & (cells()["system"] == crm)]
    alone = {"enriched": at[at["variant"] == ""], "plain": at[at["variant"] == "statistics=false"]}
    real, random = (same[same["vectors"] == each] for each in ("real", "random"))
    line = {"data": dataset, "knows": knows, "CRM": crm, "input": text, "N": size}
    line["statistics"] = gap(alone["enriched"], alone["plain"]).get("gap")  # what they are worth without vectors
    for minus, other in (("random vectors", random), ("the CRM alone", alone[text])):
        lines.append({**line, "minus": minus, **gap(real, other)})
columns = ["data", "knows", "CRM", "input", "N", "minus", "gap", "low", "high", "seeds", "says", "statistics"]
found = pd.DataFrame(lines, columns=columns).query("seeds >= 3")
by = ["data", "knows", "input", "minus"]
counts = found.groupby(by)["says"].value_counts().unstack(fill_value=0)
counts = counts.assign(mean_gain=found.groupby(by)["gap"].mean().round(4))
counts if len(found) else "LLM+CRM beside its controls: not run. To run it: laser study run laser-crm-small"

# %%
alone = found[found["minus"] == "the CRM alone"]
for (dataset, knows), part in alone.groupby(["data", "knows"]):
    plain, enriched = (part[part["input"] == text] for text in ("plain", "enriched"))
    gains = plain["gap"].mean(), plain["statistics"].mean(), enriched["gap"].mean()
    told = "vectors on the plain input {:+.4f}, statistics instead {:+.4f}, vectors on top of statistics {:+.4f}"
    print(f"{dataset} ({knows}), mean gains in AUC: {told.format(*gains)}")
shown = alone[(alone["CRM"] == "sim") & (alone["input"] == "enriched")]
print("\nLLM+CRM minus SIM alone, both with statistics:")
print(shown[["data", "knows", "N", "gap", "low", "high", "seeds", "says"]].round(4).to_string(index=False))
same = cells()[cells()["variant"].isin(["", "statistics=false"])]
for (dataset, variant, n), at in same.groupby(["dataset", "variant", "train_rows"]):
    llm, *others = (at[at["system"] == each] for each in ("laser-crm", "words-crm", "fields-crm"))
    told = [in_words(gap(llm, other) if len(other) >= 3 else {}) for other in others]
    if set(told) != {"not run"}:
        print(f"{dataset}, {variant or 'enriched'}, N = {n:,}: LLM+CRM minus words {told[0]}; minus fields {told[1]}")

# %% [markdown]
# Compare the two inputs before you compare the backbones: statistics of the history are a cheap way to know what the vectors
# know, and the lines above set the two prices side by side. What is left *on top of statistics* is the honest figure for
# somebody who already has a good CRM. And of that, what is left over words and fields is the language model's own part. Where
# genres and years as data do as well, the gain was in the plumbing that reads them, and not in a model that has read the world.
#
# And one part changed at a time, N = 1,024, plain input, `nearby` and `familiar` off:

# %%
whole = "statistics=false, nearby=0.0, familiar=false"
parts = {"one expert instead of four": ("movielens-small", f"{whole}, experts=1")}
parts["generated item texts instead of metadata"] = ("ml-1m", whole.replace(",", ', item_text="generated",', 1))
for words, (dataset, variant) in parts.items():
    same = cells().query("system == 'laser-crm' and train_rows == 1024 and dataset == @dataset")
    pair = gap(*(same[same["variant"] == each] for each in (variant, whole)))
    print(f"{dataset}, {words}: {in_words(pair)}")

# %% [markdown]
# ## What it costs to serve
#
# The adapter goes over each vector once and the result is kept, so serving is a look-up and the backbone:

# %%
times = paper.table_2().pivot(index="dataset", columns="row", values="seconds")
for name, row in times.iterrows():
    crm, alone = row["Laser, LLM+CRM"] / row["SIM"], row["Laser, LLM only"] / row["SIM"]
    print(f"paper, {name}: LLM+CRM takes {crm:.2f} times SIM, LLM only {alone:,.0f} times")

# %% [markdown]
# [12](12_inference_time.ipynb) measures ours. This is LLM+CRM's real argument: the language model's knowledge at a
# conventional model's price.
#
# ## What would change my mind
#
# - It *is* the texts: `real` ahead of `shuffled` with an interval that leaves out zero, at several N and on the enriched
#   input too.
# - It is *not*: if `real` is level with `random` on the enriched input, then text vectors tell what statistics of the
#   history tell already, and the honest headline is "use statistics".
# - The gain should shrink *in the end* as N grows, when labels have taught the ids what the texts knew (first it may grow:
#   the adapter learns from labels too). If it is as large with all labels as with a few thousand, look for a leak, or for items
#   that are never seen often: on `bookcrossing-explicit` it is, where nine of ten books in the training set have one label.
#
# ## Summary
#
# - A mixture of experts is a gated sum of small networks; it turns frozen text vectors into two fields.
# - Two questions, two contrasts: real minus shuffled says whether *the texts* matter, real minus none whether the whole thing
#   was *worth adding*. Wrong vectors can do harm, so the first alone flatters. Ask for both.
# - Paired intervals over seeds and users, same rows: the contrast decides, not two means side by side.
#
# The real thing: `laser_core/knowledge/adapter.py`, `laser_core/knowledge/laser_crm.py`, `laser_core/study/contrast.py`.
# Dashboard: **Compare models** (choose a baseline). Next: [10 Table 1](10_overall_performance.ipynb).
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/09_laser_crm.ipynb`.
#
# **1. The gate** (easy, 5 minutes). NumPy: `logits` (batch, K), `outputs` (batch, K, embedding) of the experts. Return
# the mixed field (batch, embedding).


# %%
def mix(logits, outputs):
    ...
    # BEGIN SOLUTION
    weight = np.exp(logits - logits.max(1, keepdims=True))
    weight = weight / weight.sum(1, keepdims=True)
    return (weight[:, :, None] * outputs).sum(1)
    # END SOLUTION


# %%
import checks_lm

checks_lm.mix(mix)


# %% [markdown]
# **2. Shuffle properly** (medium, 10 minutes). Return the rows of `vectors` in another order in which **no** row is at its
# own place. Which property of a control is lost if a few rows stay? (A comment of the solution answers.)


# %%
def shuffled(vectors, seed):
    ...
    # BEGIN SOLUTION
    # lost if rows stay: that no vector is of its own film; "real minus shuffled" is then less than what the texts bring
    order = np.random.default_rng(seed).permutation(len(vectors))
    result = np.empty_like(vectors)
    result[order] = vectors[np.roll(order, 1)]  # along one random circle, everybody moves on by one
    return result
    # END SOLUTION


# %%
checks_lm.shuffled(shuffled)


# %% [markdown]
# **3. Whose gain is it?** (medium, 10 minutes). Suppose real vectors have gained over none. `gain(a, b)` gives (low, high) of
# the interval of arm a minus arm b. Return "texts" if real beats shuffled, else "plumbing" if shuffled beats none, else
# "nothing" (nothing can be said).


# %%
def whose(gain):
    ...
    # BEGIN SOLUTION
    if gain("real", "shuffled")[0] > 0:
        return "texts"
    return "plumbing" if gain("shuffled", "none")[0] > 0 else "nothing"
    # END SOLUTION


# %%
checks_lm.whose_gain(whose)
