# %% [markdown]
# # LoRA with few labels: Laser, LLM only
#
# **You will** write a low-rank adapter in eight lines, prove that it is a change of weights and nothing else, count what
# one label and what many answers in one sequence teach, tune a language model on a handful of labels or only read it out,
# and choose which ratings it reads.
#
# Data: MovieLens-small (comes with the kit); recorded figures. Machine: any, no GPU; SmolLM2-135M and MiniLM-L6
# (`laser doctor --fetch`, and the kit fetches MiniLM when first asked). Time: 60 minutes with the exercises. You need:
# PyTorch basics, [05 Asking a language model](05_prompting.ipynb). Without weights the cells that need them pass.
#
# ## The idea
#
# [05](05_prompting.ipynb) ended with a linear classifier (two rows of the head) on features that nobody had tuned for it.
# Tuning all 135 million weights on 64 labels would be absurd, and a copy of the model for each task a waste. LoRA
# (Hu et al., 2021) leaves $W$ frozen and learns a product of two thin matrices beside it:
#
# $$h = W x + \frac{\alpha}{r} B A x, \qquad A \in \mathbb R^{r \times d_\text{in}},\; B \in \mathbb R^{d_\text{out} \times r}$$
#
# $B$ starts at zero, so tuning starts exactly at the model as it was.

# %%
import itertools

import numpy as np
import pandas as pd
import torch
from lesson import at_equal_labels, beside, cells, gap, in_words, pick, profile, show
from torch import nn

from laser_core import figures
from laser_core.datasets import load
from laser_core.lm import backbones
from laser_core.metrics import auc, delong, log_loss
from laser_core.study.summary import widest
from laser_core.systems import create

data, NAME = load("movielens-small"), "smollm2-135m"
here = backbones.ready(NAME) is not None
print(f"profile: {profile()} · weights of {NAME} {'are here' if here else 'are not here: laser doctor --fetch'}")


# %%
class LoRA(nn.Module):
    """A frozen linear layer with a low-rank change beside it."""

    def __init__(self, layer: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        super().__init__()
        self.layer, self.scale = layer.requires_grad_(False), alpha / rank
        self.a = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x):  # (batch, in) -> (batch, out)
        return self.layer(x) + self.scale * (x @ self.a.T) @ self.b.T


torch.manual_seed(0)
layer, x = nn.Linear(576, 576, bias=False), torch.randn(4, 576)
adapted = LoRA(layer)
print("fresh adapter changes the output by", (adapted(x) - layer(x)).abs().max().item())
nn.init.normal_(adapted.b)  # as if tuned
merged = layer.weight + adapted.scale * adapted.b @ adapted.a  # W + (alpha / r) B A
difference, largest = (adapted(x) - x @ merged.T).abs().max().item(), adapted(x).abs().max().item()
print(f"beside W or added into W: {difference:.1e} apart, of numbers up to {largest:.0f};", end=" ")
print(f"learned {adapted.a.numel() + adapted.b.numel():,} instead of {layer.weight.numel():,} numbers")

# %% [markdown]
# The values to expect: 0 exactly, and rounding. That second line is the whole point of the formula: after tuning you can
# **add $\frac{\alpha}{r}BA$ to $W$ and throw the adapter away**; serving costs what it cost before.
#
# The kit puts such adapters on the query and value projections of each block with `peft`
# (`laser_core/lm/tuning.py`). The same equality on the real model, with one of its own layers:

# %%
if here:
    from laser_core.lm import tuning

    lm = backbones.load_decoder(NAME, torch.float32, torch.device("cpu"))
    total = sum(weight.numel() for weight in lm.parameters())
    steps = {"top_blocks": 0, "learning_rate": 1e-3, "epochs": 1, "batch_size": 1, "max_steps": 0}
    wanted = tuning.Tuning(8, 16.0, 0.0, "query-value", **steps)
    peft_model = tuning.add_adapter(lm, wanted, seed=0)
    tuned = sum(weight.numel() for weight in tuning.trainable(peft_model).values())
    query = lm.model.layers[0].self_attn.q_proj
    a, b = (getattr(query, f"lora_{part}").default.weight for part in "AB")
    with torch.no_grad():
        b.normal_()
        same = (query(x) - x @ (query.base_layer.weight + 16 / 8 * b @ a).T).abs().max().item()
    print(f"{NAME}: {tuned:,} of {total:,} numbers are learned ({tuned / total:.2%}); merged or not: {same:.1e} apart")
else:
    print("skipped: no weights")

# %% [markdown]
# ## What one label teaches
#
# The loss is the log loss of the two-way softmax of [05](05_prompting.ipynb) *at the answer and nowhere else*: the model
# shall not learn to write film titles. In the paper's form each labelled sample is one prompt with one answer (*one
# target*). But the history in front of it is a row of answers too. Written as questions with answers, one pass can learn
# from every line (*many targets*); with `targets="shots"` the text is the same, but only the lines of the N shots count in the
# loss. The same N shots then hold very different amounts of learning signal, and it would be dishonest to call both "N labels"
# without saying so. The kit records both: N, and `labels_seen`. A text that is learned from ends with its last shot: the lines
# after it are later ratings of the same user, those of validation and test among them.

# %%
forms = {
    "one target": ("laser-llm", {}),
    "many, shots only": ("laser-llm-many", {"targets": "shots", "template": "many-short"}),
    "many targets": ("laser-llm-many", {"template": "many-short"}),
}
shots = data.shots(16, seed=0)
if here:
    table = {}
    for name, (system, options) in forms.items():
        texts = list(create(system, history=10, **options).texts(data, shots, training=True))
        tokens = [len(backbones.tokenizer(NAME).encode(text.prompt.text).ids) for text in texts]
        every = np.concatenate([text.prompt.events for text in texts])
        seen = len(shots) if name != "many targets" else len(np.unique(every))
        table[name] = {"sequences": len(texts), "tokens": sum(tokens), "labels in the loss": seen}
    counts = pd.DataFrame(table).T.assign(tokens_a_label=lambda own: own["tokens"] // own["labels in the loss"])
    print(f"N = {len(shots)}\n{counts.to_string()}")

# %% [markdown]
# Are those extra labels stolen? They are ratings *before* the shot, of the same user, which every system may read as
# history. A conventional model could be fitted on them too. So compare at equal `labels_seen` before you speak of sample
# efficiency; the dashboard's **Sample efficiency** page lets you switch the x-axis to it.
#
# ## Tune it, or only read it out
#
# Two ways to learn from such texts. **Tune**: adapters in the last ten blocks only (the backward pass ends there), short
# prompts, five ratings. This is the system `laser-llm-short`, what two busy cores can tune while you read this paragraph.
#
# **Read out**: a model's own *yes* and *no* are a narrow window on what it has worked out of a prompt. Leave all of it frozen
# and fit a logistic regression on its hidden states $h_{18}, h_{22}$ (after blocks 18 and 22 of 30) where the answer belongs, a
# *linear probe* (Alain and Bengio, 2016):
#
# $$\operatorname{logit} \hat p = w^\top [h_{18}; h_{22}] + v$$
#
# Nothing is passed backwards and the top blocks need not run: to learn from a text costs less than to score it once. The
# kit's `laser-llm-counted` does this (`laser_core/lm/readout.py`). Its prompts also say in each line what share of the films
# of that genre the user liked so far, counted over all earlier ratings ("counted taste"): no small model can count that for
# itself. `block` says how many ratings in a row of a user share one text: with the system's own 20 a late line sees more of the
# history than an early one; with `block=1` each sample has a text of its own that ends with it.

# %%
n, rows = pick(8, 64), data.test_rows(pick(16, 128, 1024))
labels, users = data.labels(rows), data.sample_user(rows)
note = f"MovieLens-small · SmolLM2-135M · N = {n} · one seed · {len(rows):,} test rows"
valid = data.validation_rows(n, seed=0)
scored = {"History-LR, same labels": create("history-lr").fit(data, data.shots(n, 0), valid).predict(data, rows)}
answering = {
    "not tuned": ("laser-llm-short", {"epochs": 0}),
    "tuned": ("laser-llm-short", {}),
    "read out": ("laser-llm-counted", {"history": 5, "block": 1}),
}
for name, (system, options) in answering.items() if here else ():
    model = create(system, **options).fit(data, data.shots(n, 0), valid, seed=0)
    scored[name] = model.predict(data, rows)
    print(f"{name}: labels seen {model.labels_seen_}, {model.parameter_count():,} numbers learned")
table = pd.DataFrame({name: {"AUC": auc(labels, p), "log loss": log_loss(labels, p)} for name, p in scored.items()}).T
print(f"profile: {profile()} · {note}")
table.round(3)

# %%
pairs = [("tuned", "not tuned"), ("tuned", "History-LR, same labels"), ("read out", "History-LR, same labels")]
for one, other in pairs if here else ():
    test = delong(labels, scored[one], scored[other], users)
    word = "ahead" if test.low > 0 else "behind" if test.high < 0 else "no difference that these rows can show"
    print(f"AUC, {one} minus {other}: {test.difference:+.3f} ({test.low:+.3f} to {test.high:+.3f}): {word}.")
looks = dict(zip(scored, ["history-lr", "laser-llm", "laser-llm-short", "laser-llm-counted"], strict=False))
drawn = [(looks[name], name, labels, p) for name, p in scored.items()]
show(figures.calibration(drawn, note, "Tuning: probabilities before and after"))

# %% [markdown]
# What to look at: how much, or how little, tuned and not tuned differ, and where the read-out stands. The untuned model
# continues the pattern of answers before it was shown a single label of ours, and one pass over N prompts is a few
# optimizer steps. A picture of "LoRA learned this user's taste" would be a story; the interval above says what these rows
# can carry. One seed and so few rows cannot rank systems.
#
# The recorded runs have more of both. Four of them: tuning (`laser-llm-short`); the paper's form with one question at the end,
# read out; the lines of counted taste, read out; and the same once more with `targets="shots"`, so that N answers are learned
# from and no more. Each is paired with History-LR at the same N, seeds and test rows (`gap`, with its 95 % interval). Where a
# run has fewer than three seeds its interval hardly knows how much the subsets matter, so `says` stays empty. The figure has AUC
# against **seconds of fitting**, reading included. All other N, systems and options: the dashboard.

# %%
counted, one = "laser-llm-counted", 'history=10, learn="readout"'
shown = [("history-lr", ""), ("laser-llm-short", ""), ("laser-llm", one), (counted, ""), (counted, 'targets="shots"')]
table, points = beside("movielens-small", ["llm"])
curve = figures.empty("not run: laser study run llm-small")
if len(table):
    names, table.loc[table["seeds"] < 3, "says"] = [figures.system_label(*pair) for pair in shown], ""
    print(table.query("system in @names and N in (64, 256, 1024)").to_string(index=False))
    fitted = widest(points[points["train_rows"] > 0])
    fitted = fitted[[pair in shown for pair in zip(fitted["system"], fitted["variant"], strict=True)]]
    curve = figures.sample_efficiency(fitted, x="fit_seconds")
show(curve, "recorded")

# %% [markdown]
# Compare counted taste with and without `targets="shots"`: what the lines of the history add as *labels* lies between them. And
# keep the promise made above: the same systems at equal *labels*, not equal samples.

# %%
short = cells().query("dataset == 'movielens-small' and system == 'laser-llm-short'")
for n, own in short.query("train_rows > 0").groupby("train_rows"):
    untuned = in_words(gap(own, short.query("train_rows == 0")))
    print(f"tuned by LoRA, N = {n}, minus the same untuned, one subset: {untuned}")
at_equal_labels("movielens-small", counted).round(4)

# %% [markdown]
# Ahead at equal samples is a fact about prompts: they ask about ratings that lie there anyway. At equal labels the table says what is
# left. What tuning brought this small model stand in the lines above it; the paper tuned models of 7 and 13 billion parameters,
# which these recorded runs have not done (`laser study run llm-ml-1m-gpu`).
#
# The one-question form has the same model, the same read-out and learns from as many answers as `targets="shots"`: between those two
# lies the form of the prompt, its counted shares and its longer history included.
#
# ## Which ratings should it read? Retrieval
#
# Five lines of history can be the *last* five, or the five **most like the target**: with a long history and a short
# context that is the better question. The paper retrieves by cosine between vectors of item texts,
#
# $$\text{shown} = \operatorname{top-}K_{h < t} \; \cos(z_h, z_t), \text{ in the order of time}$$
#
# and tunes on both kinds of prompt. In the smallest code ([08](08_knowledge.ipynb) says where vectors come from):

# %%
encoder = "minilm-l6"
row = max(rows[: pick(16, 64)].tolist(), key=lambda each: len(data.history_events(each, 60)))
events = data.history_events(row, 60)
if backbones.ready(encoder):
    from laser_core.knowledge.encoder import encode
    from laser_core.knowledge.writer import item_texts

    items = [*data.event_item[events].tolist(), int(data.sample_item([row])[0])]
    z = encode(encoder, item_texts(data, items, "metadata"))
    z = (z - z.mean(0)) / np.linalg.norm(z - z.mean(0), axis=1, keepdims=True)
    cosine = z[:-1] @ z[-1]
    shown = np.sort(np.argsort(-cosine)[:5])
    similar = [f"{data.title(items[k])}  (cosine {cosine[k]:.2f}, {len(events) - k} ratings ago)" for k in shown]
    last = [data.title(item) for item in items[-6:-1]]
    print("target:", data.title(items[-1]), "\nlast five:", *last, "most like the target:", *similar, sep="\n  ")
    print(f"mean cosine with the target: last five {cosine[-5:].mean():.2f}, retrieved {cosine[shown].mean():.2f}")
else:
    print(f"skipped: the weights of {encoder} are not here; any use of `laser-llm-retrieval` fetches them")

# %% [markdown]
# The paper's LLM-only row of Table 1 has retrieval on. Here it is a system of its own, `laser-llm-retrieval`, so that on
# and off are two rows and never one. Do not take the gain for granted: a text is about genre and year, and "the last
# five" know what the user is in the mood for. In the form of lines all targets share one history; there `retrieval=true`
# asks about each target a second time, after the ten lines most like it, and averages the two log-odds.
#
# What the user thought of the films nearest to a target also fits into two numbers (`nearby`), with
# $w_h = \exp((\cos(z_h, z_t) - 1) / 0.1)$: how far the nearest were rated above the user's mean $\bar r$,
# $\sum_h w_h (r_h - \bar r) / (\sum_h w_h + 0.02)$, and $\log(\sum_h w_h + 0.02)$, how many there are.
# [09](09_laser_crm.ipynb) gives them to conventional models; the read-out takes them beside the states, the prompt stays as
# it is. And `titles="anonymous"` has "movie 17" in the place of every title: what that loses is what the model knows of
# films; the rest is arithmetic on answers, stars and genres. On record, read out, each change paired with the same without
# it:

# %%
pairs = {"one target, retrieval": (("laser-llm", one), ("laser-llm-retrieval", one))}
for words, change in (("retrieval", "retrieval=true"), ("nearby", "nearby=0.1"), ("no titles", 'titles="anonymous"')):
    pairs[f"lines, {words}"] = (counted, ""), (counted, change)
    pairs[f"lines (block=1), {words}"] = (counted, "block=1"), (counted, f"block=1, {change}")
for dataset, (words, pair), n in itertools.product(cells()["dataset"].unique(), pairs.items(), (64, 256, 1024)):
    own = cells().query("dataset == @dataset and train_rows == @n and seed < 3")
    off, on = (own[(own["system"] == system) & (own["variant"] == variant)] for system, variant in pair)
    if found := gap(on, off):
        print(f"{dataset}, {words}, N = {n}: AUC {off['auc'].mean():.3f}, so {on['auc'].mean():.3f};", end=" ")
        print("gap", in_words(found))

# %% [markdown]
# Compare the AUCs of the two forms before you compare anything within them: the *form* of the prompt decides far more than
# which ratings it shows. Where questions are answered line by line, the small model goes on with the pattern; where ratings
# are a list and the question comes at the end, it would have to compare, and it does not.
#
# ## What would change my mind
#
# - Tuning is not worth it: if over five seeds and the full test set "tuned" is not ahead of counting at the same
#   `labels_seen`.
# - Retrieval is worth it: if it is ahead by a paired interval that leaves out zero, at the same N, history length and
#   seeds, and in a form of prompt that beats counting without it. The lines above show the first without the second.
#
# ## Summary
#
# - LoRA is $W + \frac{\alpha}{r}BA$: it starts as nothing, learns about one number in a few hundred, and can be merged.
# - The loss looks at answers only. Many targets in one sequence see more labels than N: always say `labels_seen`.
# - Retrieval chooses what is read, not what is learned; it is a switch, reported on and off.
#
# The real thing: `laser_core/lm/tuning.py`, `laser_core/lm/laser_llm.py`, `laser_core/lm/retrieval.py`. Dashboard:
# **Sample efficiency**, **User explorer**. Next: [07 Text encoders as recommenders](07_encoders.ipynb), then
# [08 The LLM as feature generator and encoder](08_knowledge.ipynb).
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/06_lora.ipynb`.
#
# **1. Count an adapter** (easy, 5 minutes). `shapes` lists (out, in) of the layers that get an adapter of rank r.


# %%
def adapter_size(shapes, rank):
    ...
    # BEGIN SOLUTION
    return sum(rank * (out + into) for out, into in shapes)
    # END SOLUTION


# %%
import checks_lm

checks_lm.adapter_size(adapter_size)


# %% [markdown]
# **2. Merge, and unmerge** (medium, 10 minutes). Given W with an adapter merged in, give back the original W. Arrays are
# NumPy: `merged` (out, in), `a` (r, in), `b` (out, r). Mind that r is not passed.


# %%
def unmerge(merged, a, b, alpha):
    ...
    # BEGIN SOLUTION
    return merged - alpha / len(a) * b @ a
    # END SOLUTION


# %%
checks_lm.unmerge(unmerge)


# %% [markdown]
# **3. Learn from answers only** (medium, 10 minutes). `odds` are log-odds at every line of a sequence, `labels` 0 or 1,
# and -1 where there is nothing to learn. Return the mean log loss over what may be learned. (Some of these lines are older
# than the shot, some, if the text were not cut, younger. Whose true answer would leak? "What one label teaches" has what you
# need, the solution the answer.)


# %%
def answer_loss(odds, labels):
    ...
    # BEGIN SOLUTION
    # A younger line would leak: it came later, and may be a test row. An older one would not, but is a label beyond N.
    learn = labels >= 0
    return np.logaddexp(0, np.where(labels[learn] == 1, -odds[learn], odds[learn])).mean()
    # END SOLUTION


# %%
checks_lm.answer_loss(answer_loss)


# %% [markdown]
# **4. Retrieve in order** (medium, 10 minutes). From cosines of the history (oldest first) give the places of the top K,
# in the order of time; of equal cosines the later one wins.


# %%
def retrieve(cosine, k):
    ...
    # BEGIN SOLUTION
    return np.sort(np.lexsort((-np.arange(len(cosine)), -cosine))[:k])
    # END SOLUTION


# %%
checks_lm.retrieve(retrieve)
