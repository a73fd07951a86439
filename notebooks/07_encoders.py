# %% [markdown]
# # Text encoders as recommenders: CTR-BERT, PTab, P5
#
# **You will** meet the three pretrained-language-model rows of Table 1, read one sample as each of them reads it, write
# their heads in a few lines, mask words, and fit them on a handful of labels.
#
# Data: MovieLens-small (comes with the kit); recorded figures. Machine: any, no GPU; MiniLM-L6 (the kit fetches it when first
# asked). Time: 45 minutes with the exercises. You need: PyTorch basics,
# [05 Asking a language model](05_prompting.ipynb). Without weights the cells that need them say so and pass.
#
# ## The idea
#
# Before models of billions of parameters there were encoders of a hundred million, and three ways to make recommenders of
# them. All three read text; they differ in *where user and item meet*.
#
# | | reads | user and item meet | answers with |
# |---|---|---|---|
# | CTR-BERT (Muhamed et al., 2021) | two texts | at the end, in a small head | $w^\top \tanh(W[u; i])$ |
# | PTab (Liu et al., 2022) | one text, `field: value` | in every attention layer | $w^\top h_\text{[CLS]}$ |
# | P5 (Geng et al., 2022) | one question | in every layer | the decoder's first word, yes or no |

# %%
import time

import numpy as np
import pandas as pd
import torch
from lesson import beside, cells, pick, profile, recorded, show
from torch import nn

from laser_core import figures
from laser_core.datasets import load
from laser_core.lm import backbones
from laser_core.metrics import auc, delong, log_loss
from laser_core.study import paper
from laser_core.systems import SYSTEMS, create

data = load("movielens-small")
ENCODER = "minilm-l6"
here = backbones.ready(ENCODER) is not None
print(
    f"profile: {profile()} · weights of {ENCODER} "
    f"{'are here' if here else 'are not here: any fit of ctr-bert fetches them'}"
)

# %% [markdown]
# ## One sample, three texts
#
# The texts need no weights. What does not fit is cut from the oldest history, never from the target.

# %%
row = int(data.test_rows(16)[2])
for name in ("ctr-bert", "ptab", "p5"):
    print(f"--- {SYSTEMS[name].label}")
    for text in create(name, history=3).texts(data, row):
        print(f"  {text}")

# %% [markdown]
# Look at CTR-BERT's two lines. The item's text does not mention the user, so **its vector can be computed once and kept**,
# however many users are asked about. The price: the encoder can never compare a history with the target word by word.
# PTab and P5 can, and pay one full pass a sample.
#
# How much does the sharing save? Count the texts of the test set:

# %%
sample = data.test_rows(pick(200, 1000))
two = [create("ctr-bert", history=3).texts(data, int(each)) for each in sample]
users_read, items_read = (len({str(texts[place]) for texts in two}) for place in (0, 1))
print(f"{len(sample):,} samples: {items_read:,} distinct item texts, {users_read:,} distinct user texts")

# %% [markdown]
# User texts hardly repeat: each carries the history at its own moment. In a live system it is the other way round: one user
# text now, and a thousand candidate items that all have their vectors ready.
#
# ## The heads in a few lines
#
# $$\text{CTR-BERT: } \hat p = \sigma\!\left(w^\top \tanh(W [u; i] + b) + c\right) \qquad
# \text{PTab: } \hat p = \sigma(w^\top h + c) \qquad \text{P5: } \hat p = \frac{e^{s_\text{yes}}}{e^{s_\text{yes}} + e^{s_\text{no}}}$$


# %%
size, width = 384, 128
two_towers = nn.Sequential(nn.Linear(2 * size, width), nn.Tanh(), nn.Linear(width, 1))
one_text = nn.Linear(size, 1)
u, i, h, words = torch.randn(4, size), torch.randn(4, size), torch.randn(4, size), torch.randn(4, 2)
shapes = {
    "CTR-BERT": torch.sigmoid(two_towers(torch.cat([u, i], dim=1))).squeeze(1),
    "PTab": torch.sigmoid(one_text(h)).squeeze(1),
    "P5": torch.softmax(words, dim=1)[:, 0],
}
assert all(p.shape == (4,) and ((p > 0) & (p < 1)).all() for p in shapes.values())
p5_again = torch.sigmoid(words[:, 0] - words[:, 1])
print(f"P5's two-way softmax is a sigmoid of a difference, to {(shapes['P5'] - p5_again).abs().max():.0e}")
for name, head in (("CTR-BERT", two_towers), ("PTab", one_text)):
    print(f"{name}'s head: {sum(weight.numel() for weight in head.parameters()):,} numbers that start from nothing")

# %% [markdown]
# P5's head learns no number of its own: its two words have their vectors from pretraining. That is the same trick as in
# [05](05_prompting.ipynb), and an advantage with few labels.
#
# ## PTab's first step: guess the masked word
#
# Before it sees a label, PTab reads the training texts and learns to fill gaps: of 15 % of the tokens, 80 % become `[MASK]`,
# 10 % another word, 10 % stay. This uses **texts, no labels**, which makes it interesting when labels are few.

# %%
from laser_core.lm.ptab import masked

if here:
    tokenizer = backbones.tokenizer(ENCODER)
    ids = np.array(tokenizer.encode(str(create("ptab", history=2).texts(data, row)[0])).ids)
    ids = ids[ids != 0]  # this tokenizer pads
    mask = tokenizer.token_to_id("[MASK]")
    chosen, changed = masked(ids, ids[[0, -1]], mask, tokenizer.get_vocab_size(), 0.15, np.random.default_rng(1))
    print(tokenizer.decode(changed.tolist(), skip_special_tokens=False))
    asked = [tokenizer.id_to_token(int(token)) for token in ids[chosen == 1]]
    print(f"\nto be told: {asked}, {chosen.sum()} of {len(ids) - 2} tokens ({chosen.sum() / (len(ids) - 2):.0%})")
else:
    print("skipped: no tokenizer")

# %% [markdown]
# ## Fit them
#
# Short texts, the last two blocks of the encoder learned, few steps: enough to see the machinery work, not to rank the
# three. P5 needs a pretrained T5 (`t5-base`, from the hub). Where that is not on the machine, **P5 (no pretraining)** keeps
# its form and starts at random: a control for what pretraining is worth, and never P5's row of the table.

# %%
n, rows = pick(16, 256), data.test_rows(pick(32, 256))
labels, users, valid = data.labels(rows), data.sample_user(rows), data.validation_rows(n, seed=0)
short = {"history": 5, "max_tokens": 96, "valid_limit": pick(0, 64), "least_steps": pick(4, 48), "epochs": 1}
scored, facts = {}, {}
arms = {"history-lr": {}} | (
    {"ctr-bert": {**short, "top_blocks": 2}, "ptab": {**short, "top_blocks": 2}, "p5-scratch": short} if here else {}
)
for name, options in arms.items():
    began = time.perf_counter()
    model = create(name, **options).fit(data, data.shots(n, 0), valid, seed=0)
    scored[name] = model.predict(data, rows)
    facts[SYSTEMS[name].label] = {
        "AUC": auc(labels, scored[name]),
        "log loss": log_loss(labels, scored[name]),
        "numbers learned": model.parameter_count(),
        "seconds": round(time.perf_counter() - began, 1),
    }
note = f"MovieLens-small · N = {n} · one seed · five earlier ratings · {len(rows):,} test rows"
print(f"profile: {profile()} · {note}")
pd.DataFrame(facts).T.astype({"numbers learned": int}).round(3)

# %%
for name in scored:
    if name != "history-lr":
        test = delong(labels, scored[name], scored["history-lr"], users)
        word = "ahead of" if test.low > 0 else "behind" if test.high < 0 else "level with"
        print(
            f"{SYSTEMS[name].label}: {test.difference:+.3f} AUC "
            f"({test.low:+.3f} to {test.high:+.3f}), {word} History-LR"
        )
show(
    figures.roc(
        [(name, SYSTEMS[name].label, labels, p) for name, p in scored.items()], note, "Text encoders on few labels"
    )
)

# %% [markdown]
# Two things to understand before you conclude anything.
#
# **Behind a logistic regression?** The encoder knows what *Toy Story* is about. That a history full of "disliked" bodes ill,
# and that the words are to be *counted*, it has to learn from N labels, while History-LR is handed the count.
#
# **P5 without any pretraining in front of pretrained encoders?** It starts small and at random, learns all of itself at
# six times their rate, and counting "disliked" is a simple thing to learn. The two encoders are held to their last two blocks
# and a few dozen careful steps. So this picture compares *training budgets*, not pretraining. Give the encoders more
# (`epochs`, `top_blocks=0`) and look at the recorded runs, which have the kit's own settings and one to three seeds.
#
# In the paper, with **all** labels, the three stand among the conventional models:

# %%
table = paper.table_1().query("dataset == 'ml-1m'").set_index("row")["auc"]
trio = ["CTR-BERT", "PTab", "P5"]
others = table.drop([*trio, *table.index[table.index.str.startswith("Laser")]])
print(f"paper, MovieLens-1M: {', '.join(f'{name} {table[name]:.4f}' for name in trio)};")
print(
    f"the eight conventional models lie between {others.min():.4f} "
    f"({others.idxmin()}) and {others.max():.4f} ({others.idxmax()})"
)
titles = {"movielens-small": "MovieLens-small", "bookcrossing": "BookCrossing", "ml-1m": "MovieLens-1M"}
t5 = "not run: laser study run plm-gpu"
for name, title in titles.items():
    beside_counting, points = beside(name, ["plm"])
    print(f"Recorded, {title}: gap in AUC to History-LR at the same N, seeds and test rows, 95 % interval")
    if len(beside_counting):
        print(f"{beside_counting.to_string(index=False)}\n")
        t5 = "recorded" if "p5" in set(points["system"]) else t5
    else:
        print(f"not run. To run them: laser study run plm-{name.removeprefix('movielens-')}\n")
print(f"P5 with a pretrained T5: {t5}")
nothing = figures.empty("not run: laser study run plm-ml-1m")
curves = figures.sample_efficiency(points, titles=titles, title=f"Encoders and History-LR, {title}")
show(curves if len(points) else nothing, "recorded")

# %% [markdown]
# Read down a data set. With 16 and 64 labels an encoder of 22 million numbers to learn has next to nothing to learn them from.
# P5 without pretraining, small and free to become a counter, begins ahead of both; with 1,024 labels the three are close. (Is
# it the size, the form, the rate? These rows cannot say.) A baseline is worth what its tuning is worth, and a comparison that
# tunes one side only says nothing: the rows with `learning_rate=0.0002` took four times the usual rate. Which one would
# validation choose?

# %%
fits = cells()[cells()["variant"].isin(["", "learning_rate=0.0002"]) & cells()["system"].isin(["ctr-bert", "ptab"])]
fits = fits.assign(
    rate=fits["variant"].map({"": "5e-5", "learning_rate=0.0002": "2e-4"}),
    valid=[min(check["valid_log_loss"] for check in recorded().read(key)["curve"]) for key in fits["key"]],
)
pairs = fits.pivot(
    index=["dataset", "system", "train_rows", "seed", "test_rows"], columns="rate", values=["valid", "log_loss", "auc"]
).dropna()
print(
    f"{len(pairs)} pairs on equal test rows. The smaller rate has the lower validation log loss in "
    f"{(pairs['valid']['5e-5'] < pairs['valid']['2e-4']).sum()},\nthe lower test log loss in "
    f"{(pairs['log_loss']['5e-5'] < pairs['log_loss']['2e-4']).sum()}, the higher test AUC in "
    f"{(pairs['auc']['5e-5'] > pairs['auc']['2e-4']).sum()}."
)
pairs.round(3)

# %% [markdown]
# The two measures do not want the same rate. Large steps make an encoder sure of itself: its log loss suffers nearly
# everywhere, while the *order* of its answers, which is all that AUC looks at, is sometimes the better one. Validation by log
# loss never takes the larger rate here, so a grid of the two would choose what the other rows show.
#
# ## What would change my mind
#
# - *Meeting early is worth its price*: PTab ahead of CTR-BERT at the same N and steps, with a paired interval that leaves
#   out zero.
# - *Pretraining is what counts*: P5 with T5 ahead of P5 without, same N. If they are level, the form does the work.
# - *Encoders are sample-efficient*: any of the three ahead of History-LR at N up to 1,024, over several seeds.
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/07_encoders.ipynb`.
#
# **1. Field: value** (easy, 5 minutes). Turn a dictionary into PTab's text, `title: Heat. year: 1995.`; leave out empty
# values.


# %%
def phrases(fields):
    ...
    # BEGIN SOLUTION
    return " ".join(f"{name}: {value}." for name, value in fields.items() if value)
    # END SOLUTION


# %%
import checks_lm

checks_lm.field_phrases(phrases)


# %% [markdown]
# **2. Encoder passes** (medium, 10 minutes). A page shows `candidates` items to each of `users` users. How many texts must be
# encoded by two towers with no item vector stored yet, and by a one-text model? All users see the same candidates.


# %%
def passes(users, candidates):
    ...
    # BEGIN SOLUTION
    return users + candidates, users * candidates
    # END SOLUTION


# %%
checks_lm.encoder_passes(passes)


# %% [markdown]
# **3. Mask** (hard, 15 minutes). `ids` (length,), `special` True where a token must not be masked. Return `chosen`, True at
# `round(share * free)` randomly chosen free places (at least one), and a copy of `ids` with `mask` there. The input must
# stay as it is.


# %%
def mask_tokens(ids, special, mask, share, generator):
    ...
    # BEGIN SOLUTION
    free = np.flatnonzero(~special)
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[generator.permutation(free)[: max(1, round(share * len(free)))]] = True
    return chosen, np.where(chosen, mask, ids)
    # END SOLUTION


# %%
checks_lm.mask_tokens(mask_tokens)

# %% [markdown]
# ## Summary
#
# - Two towers meet at the end and can store item vectors; one text meets in every layer and cannot.
# - A head that starts from nothing needs labels. A head made of words does not, which is the door to language models.
# - To count liked and disliked is one line for History-LR; an encoder has to learn it from your labels.
#
# The real thing: `laser_core/lm/ctr_bert.py`, `laser_core/lm/ptab.py`, `laser_core/lm/p5.py`, their texts in
# `laser_core/lm/texts.py`. Dashboard: **Compare models**. Next: [08 The LLM as feature generator](08_knowledge.ipynb).
