# %% [markdown]
# # Asking a language model
#
# **You will** put a sample into words, read a probability off a language model's next token, find out what an untuned
# 135M-parameter model tells of a user's taste, see what changes when answers stand in the prompt, and set it beside
# counting likes, in pairs.
#
# Data: MovieLens-small (comes with the kit). Machine: any, no GPU; SmolLM2-135M's weights (93 MB,
# `laser doctor --fetch`). Time: 50 minutes with the exercises. You need: [02 Metrics](02_metrics.ipynb). Without the
# weights the cells that need them say so and pass; the exercises do without.
#
# ## The idea
#
# A conventional model sees ids. A language model sees *titles*, and it read about films before it ever saw a rating. So
# write the sample as a question, and look at what the model would say next.

# %%
import numpy as np
import pandas as pd
from lesson import cells, mean_gap, pick, profile, recorded, show

from laser_core import explain, figures
from laser_core.bench.measure import read_record
from laser_core.datasets import load
from laser_core.lm import backbones
from laser_core.lm.prompts import Renderer
from laser_core.metrics import auc, bootstrap_auc, delong, percentile_interval
from laser_core.settings import get_settings
from laser_core.systems import SYSTEMS, create

data = load("movielens-small")
NAME, HISTORY = "smollm2-135m", 5
here = backbones.ready(NAME) is not None
rows = data.test_rows(pick(16, 96, 1024))
labels, users = data.labels(rows), data.sample_user(rows)
note = f"MovieLens-small · SmolLM2-135M, untuned · {HISTORY} earlier ratings shown · {len(rows):,} test rows"
print(f"profile: {profile()} · {len(rows):,} test rows · weights {'here' if here else 'missing: laser doctor --fetch'}")

# %% [markdown]
# ## A sample as text
#
# The prompt is a template filled from one sample, wrapped in the model's own chat format. `<|im_start|>` is a single
# token that the model knows from its instruction tuning; leave it out and it takes your question for a story to
# continue. What does not fit a token budget is cut from the *oldest* end of the history.

# %%
row = int(rows[2])
prompt = Renderer(data, "one", "one", chat=backbones.CHATML).one(row, HISTORY)
print(prompt.text)
print(f"\n(truth: {'liked' if data.labels([row])[0] else 'not liked'})")

# %% [markdown]
# ## A probability from two words
#
# After the prompt the model gives a score (*logit*) $s_w$ to every token it knows. We care about two of them:
#
# $$\hat p = \frac{e^{s_\text{yes}}}{e^{s_\text{yes}} + e^{s_\text{no}}} = \sigma(s_\text{yes} - s_\text{no})$$
#
# The smallest code that does it: tokens in, last hidden state out, output layer, two scores.

# %%
if here:
    import torch

    tokenizer = backbones.tokenizer(NAME)
    lm = backbones.load_decoder(NAME, torch.float32, torch.device("cpu"))
    ids = tokenizer.encode(prompt.text).ids
    with torch.inference_mode():
        hidden = lm.get_decoder()(torch.tensor([ids])).last_hidden_state[0, -1]  # (hidden,)
        scores = lm.get_output_embeddings()(hidden)  # (vocabulary,)
    yes, no = (tokenizer.encode(word).ids[0] for word in prompt.answers)
    by_hand = torch.sigmoid(scores[yes] - scores[no]).item()
    share = scores.softmax(0)
    likely = {tokenizer.decode([int(t)]): round(float(p), 3) for p, t in zip(*share.topk(5), strict=True)}
    print("most likely next tokens:", likely)
    print(f"'Yes' and 'No' together have {share[[yes, no]].sum():.3f} of the probability; P(yes) = {by_hand:.4f}")
else:
    print(f"skipped: the weights of {NAME} are not here (laser doctor --fetch)")

# %% [markdown]
# Look at the last line. A model of this size may put much of its probability on words that are no answer at all; the
# two-way softmax ignores them and compares the two words we asked for. That is a choice, and a fair one: every system
# has to give a probability.
#
# ## Two rows of the head
#
# The output layer is a matrix $W$ with one row a token, $s_w = W_w \cdot h$. Only two rows matter, and of them only the
# difference:
#
# $$s_\text{yes} - s_\text{no} = (W_\text{yes} - W_\text{no}) \cdot h$$
#
# So the language model is a **feature extractor with a linear classifier on top** that nobody fitted: its weights are
# what "Yes minus No" happened to mean in pretraining. [06](06_lora.ipynb) tunes the features for that classifier. The kit
# scores this way (`laser_core/lm/scoring.py`, class `AnswerModel`), and should give the number above.

# %%
if here:
    head = lm.get_output_embeddings().weight
    with torch.inference_mode():
        two_rows = torch.sigmoid((head[yes] - head[no]) @ hidden).item()
    live = explain.LiveModel(NAME, precision="fp32")
    print(f"whole head {by_hand:.6f} · two rows {two_rows:.6f} · the kit {live.probability(prompt):.6f}")
    print(f"the head knows {len(head):,} tokens; multiplications: {2 * head.shape[1]:,} instead of {head.numel():,}")
else:
    print("skipped: no weights")

# %% [markdown]
# The three agree to rounding. Now ask it about every test row of this notebook, as it is (*zero-shot*): no label was
# used, and none will be.


# %%
def untuned(system, **options):
    """Probabilities of an untuned language model for `rows`; None without weights."""
    if here:
        none = np.zeros(0, dtype=int)
        model = create(system, backbone=NAME, epochs=0, history=HISTORY, **options)
        return model.fit(data, none, none).predict(data, rows)


def report(name, p):
    """AUC with its 95 % interval over test users."""
    interval = percentile_interval(auc(labels, p), bootstrap_auc(labels, p, users, draws=500))
    found = {"what": name, "AUC": interval.value, "low": interval.low, "high": interval.high}
    return found | {"mean p": p.mean(), "sd of p": p.std()}


zero = untuned("laser-llm")
if here:
    found = report("zero-shot", zero)
    verdict = "holds .5: no signal to be seen" if found["low"] <= 0.5 <= found["high"] else "leaves out .5"
    print(f"zero-shot AUC {found['AUC']:.3f}, 95 % interval {found['low']:.3f} to {found['high']:.3f}; it {verdict}.")
    print(f"It says {zero.mean():.2f} give or take {zero.std():.2f} to everything; liked were {labels.mean():.2f}.")
nothing = figures.empty("no weights here")
show(figures.score_distribution(("laser-llm", "zero-shot", labels, zero), note) if here else nothing)

# %% [markdown]
# ## Does it read the stars?
#
# An AUC that is not above .5 has two possible reasons: the model does not understand the ratings, or it understands them
# and they do not help. Ask directly. Give the same user five stars for everything, then the lowest rating for everything. Somebody
# who reads would answer differently. (`what_if` changes a history and nothing else.)

# %%
if here:
    shift = []
    for each in rows[: pick(2, 12)]:
        seen = explain.history_of(data, int(each), HISTORY)
        worlds = [[(item, stars) for item, _ in seen] for stars in (1, len(data.rating_values) - 1)]
        imagined = [explain.what_if(data, int(each), world) for world in worlds]
        asked = [Renderer(world, "one", "one", chat=backbones.CHATML) for world in imagined]
        shift.append(np.diff(live.probabilities([each.one(0, HISTORY) for each in asked]))[0])
    print(f"from all-lowest to all-five stars P(yes) moves by {np.mean(shift):+.3f} on average,", end=" ")
    print(f"{min(shift):+.3f} at least and {max(shift):+.3f} at most")
else:
    print("skipped: no weights")
popular = cells().query("dataset == 'ml-1m' and system == 'popularity' and shots == 'all'")["auc"].max()
print(f"recorded, MovieLens-1M: the film's popularity alone, no history at all, has an AUC of {popular:.3f}")

# %% [markdown]
# A human who saw a user go from hating to loving everything would move by much more. The small model has learned what
# an answer *looks like*; in this form of prompt the stars hardly count. Larger ones may read them. An AUC above chance, as the
# paper's group reports for the untuned Vicuna-13B (`laser_core/study/paper.py`), cannot tell: a film's popularity (counted on all
# training labels) reads no star of this user and is above chance too. The test above, all-five stars against all-lowest, could.
#
# ## Answers in the prompt
#
# Now the trick that small models are good at: continuing a pattern. Write the history as questions *with answers*, and
# the target as one more question. Nothing is tuned; the labels of earlier ratings of the same user stand in the context,
# and every system of this kit may see those.

# %%
line_by_line = Renderer(data, "many", "many-short")
target, start = int(data.sample_event[row]), int(data.history_start(np.array([row]), HISTORY)[0])
print(line_by_line.many(start, target, needed=target).text + " ?")

# %% [markdown]
# Whatever comes out, hold it against two controls, or you will praise the model for the wrong thing:
#
# - **anonymous titles**: "movie 17" for each title. What is left is what the *pattern of answers* tells. (Such a prompt also
#   looks odd to the model, so the gap is rather an upper bound of what titles are worth.)
# - **counting**: the share of Yes among the same five answers, no model at all. Smoothed: $(\text{yes} + 1) / (n + 2)$.

# %%
liked_so_far = np.concatenate([[0], np.cumsum(data.event_label)])


def liked_share(rows, last):
    """(yes + 1) / (n + 2) over the last ratings before each row."""
    start, target = data.history_start(rows, last), data.sample_event[rows]
    return (liked_so_far[target] - liked_so_far[start] + 1) / (target - start + 2)


many = untuned("laser-llm-many", template="many-short")
anonymous = untuned("laser-llm-many", template="many-short", titles="anonymous")
counting = liked_share(rows, HISTORY)
arms = {"zero-shot": zero, "answers in the prompt": many, "... with anonymous titles": anonymous}
arms = {name: p for name, p in arms.items() if p is not None} | {"counting, no model": counting}
table = pd.DataFrame([report(name, p) for name, p in arms.items()]).set_index("what")
print(f"profile: {profile()} · {note}")
table.round(3)


# %%
def paired(labels, one, other, users):
    """Two AUCs on the same rows, their gap with its 95 % interval over test users, and what it says."""
    test = delong(labels, one, other, users)
    found = mean_gap(np.array([test.difference]), np.array([test.standard_error]))
    return {"AUC": test.auc_first, "its AUC": test.auc_second} | found


words = "AUC, 'answers in the prompt' minus '{}': {gap:+.3f} ({low:+.3f} to {high:+.3f}), {says}"
for other in ("zero-shot", "... with anonymous titles", "counting, no model") if here else ():
    print(words.format(other, **paired(labels, many, arms[other], users)))
looks = ("laser-llm", "laser-llm-many", "laser-llm-short", "history-lr")[-len(arms) :]
drawn = [(look, name, labels, p) for look, (name, p) in zip(looks, arms.items(), strict=True)]
show(figures.roc(drawn, note, "Zero-shot against answers in the prompt"))

# %% [markdown]
# Read the three sentences before the picture. The first says what a context is worth. The second says how much of it the
# *titles* carry, the third whether the model does more than count. *Level* means: these rows cannot tell them apart.
#
# The recorded runs of untuned models have more rows and the kit's own settings. Each is paired with the liked share of as many
# last ratings as it reads at least, and with that of the last 30. Neither side saw a label of the training split, so no subset was
# drawn, and the interval is over test users alone. *Counted taste* writes one number more into each line: what share of the films
# of that genre the user liked so far ([06](06_lora.ipynb)); up to 20 questions share a text, so a late one sees more lines.

# %%
done = cells().query("dataset == 'movielens-small' and train_rows == 0 and variant == ''").sort_values("test_rows")
fight = []
for one in done[done["system"].isin([name for name, its in SYSTEMS.items() if its.family == "llm"])].itertuples():
    seen = recorded().predictions(one.key)
    for last in sorted({SYSTEMS[one.system].preset.get("history", 30), 30}):
        line = {"untuned": SYSTEMS[one.system].label, "minus liked share of last": last}
        found = paired(seen["label"], seen["probability"], liked_share(seen["row"].to_numpy(), last), seen["user"])
        fight.append({**line, **found, "test rows": len(seen)})
said = [line["says"] for line in fight]
counts = ", ".join(f"{word} {said.count(word)} of {len(said)} times" for word in ("ahead", "level", "behind"))
print("recorded, N = 0:", counts if fight else "not run: laser study run llm-small")
pd.DataFrame(fight).drop(columns="seeds", errors="ignore").round(3)

# %% [markdown]
# This is the fair fight that [02](02_metrics.ipynb) asked for. Asked outright, the model is behind counting. With answers in
# the prompt it is level: what looks like taste is no more than a running average gives, as far as all these rows can tell.
# Whether the model has more to give when it is *fitted* is the question of the rest of the course ([06](06_lora.ipynb),
# [11](11_sample_efficiency.ipynb)).
#
# ## Has it read the test?
#
# These ratings lie in the open, so a model may have read them. If it could recite `1::1193::5`, all the above would be void.
# `laser probe` asks which is likelier: the end of a line after its own beginning or after another line's (Di Palma et al.,
# 2025). The end is the same, so a share of .5 means: not by heart. The third question, what kind a film is or who wrote a
# book, asks for knowledge of the world, and shows what a model scores that does know. Recorded:

# %%
parts = read_record(get_settings().recorded / "bench" / "memory.json")["parts"]
for part, one in ((part, one) for part, its in parts.items() for one in its["measurements"]):
    print(f"{part}, {one['case']}: {one['median']:.2f} ({one['low']:.2f} to {one['high']:.2f}) {one['unit']}")
if not parts:
    print("not run: laser probe movielens-small --out results/bench/memory.json")

# %% [markdown]
# ## Which rating mattered? Leave one out
#
# Take one sample, remove one line of the history at a time, and see how the answer moves. The effect of rating $k$ is
# $\hat p(\text{all}) - \hat p(\text{all but } k)$. It is an answer about the *model*, not about the user.

# %%
if here:
    seen = explain.history_of(data, row, HISTORY)
    worlds = [explain.what_if(data, row, one) for one in [seen, *explain.leave_one_out(seen)]]
    ends = [int(world.sample_event[0]) for world in worlds]
    asked = [Renderer(world, "many", "many-short").many(0, end, end) for world, end in zip(worlds, ends, strict=True)]
    p = live.probabilities(asked)
    effects = pd.DataFrame([(data.title(item), data.rating_values[r]) for item, r in seen], columns=["title", "rating"])
    effects["effect"] = p[0] - p[1:]
    print(f"P(yes) with all lines: {p[0]:.3f}; the largest effect of one is {effects['effect'].abs().max():.3f}")
show(figures.effects(effects, note, "What each rating does to the answer") if here else nothing)

# %% [markdown]
# ## What would change my mind
#
# - A zero-shot AUC whose interval lies above .5 on all 6,164 test rows (`LASER_PROFILE=full` takes 1,024 of them). A larger
#   backbone may well do it: put its folder in `NAME`.
# - An untuned model *ahead* of the liked share, in the table above and not only in a picture: then it uses something besides
#   the share of Yes.
# - A prompt of yours that makes the *one-target* form read the stars. Try it in the dashboard's **Prompt lab**
#   (`laser app`), where you can edit the text and see the probability move.
#
# ## Summary
#
# - A probability is the two-way softmax of two words; only two rows of the output layer take part.
# - Ask an untuned 135M-parameter model outright and it says about the same to everyone. Put answers in the prompt and it
#   continues the pattern: about as well as counting likes does, as far as the recorded rows can tell.
# - Two controls (anonymous titles, counting) tell what of that is knowledge of films.
# - Before you believe a language model, ask whether it has read the test set.
#
# The real thing: `laser_core/lm/prompts.py` (templates in `laser_core/lm/templates/`), `laser_core/lm/scoring.py`,
# `laser_core/explain.py`. Dashboard: **Prompt lab** and **User explorer**. Next: [06 LoRA with few labels](06_lora.ipynb).
#
# ## Exercises
#
# Replace `...`; the cell after it checks your answer. Solutions: `solutions/05_prompting.ipynb`.
#
# **1. Two-way softmax, safely** (easy, 5 minutes). P(yes) from two scores; it must not overflow at scores of 900.


# %%
def yes_probability(yes, no):
    ...
    # BEGIN SOLUTION
    return 1 / (1 + np.exp(np.clip(no - yes, -700, 700)))
    # END SOLUTION


import checks_lm

checks_lm.yes_probability(yes_probability)


# %% [markdown]
# **2. What may each answer see?** (medium, 10 minutes). One text holds many questions, each line `\nTitle: Answer`.
# Return, for each answer, the text that a left-to-right model has read when it must give it. If an answer is in its own
# text, you have built a leak.


# %%
def visible(titles, answers):
    ...
    # BEGIN SOLUTION
    lines = [f"\n{title}: {answer}" for title, answer in zip(titles, answers, strict=True)]
    return ["".join(lines[:place]) + f"\n{title}:" for place, title in enumerate(titles)]
    # END SOLUTION


checks_lm.visible_text(visible)


# %% [markdown]
# **3. Calibrate without tuning** (medium, 10 minutes). The zero-shot model says No to nearly everything. Find the number
# $b$ for which the mean of $\sigma(\text{odds} + b)$ is the known share of liked samples. (AUC is the share of pairs, one liked
# and one not, that stand in the right order. Does it change? Why not? The solution has the answer.)


# %%
def shift_to(odds, share):
    ...
    # BEGIN SOLUTION
    # AUC stays: the same number is added to all log-odds, so no two samples change places.
    grid = np.linspace(-10, 10, 4001)
    means = np.array([(1 / (1 + np.exp(-(odds + b)))).mean() for b in grid])
    return grid[np.abs(means - share).argmin()]
    # END SOLUTION


checks_lm.shifted(shift_to)
