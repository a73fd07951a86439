# %% [markdown]
# # Sample efficiency: curves, match points, data multipliers
#
# **You will** turn "needs fewer labels" into three numbers with intervals, compute them yourself, and see how much the
# answer depends on whom you compare with.
#
# Data: recorded results of all data sets (no ratings needed). Machine: any, no GPU, nothing is trained. Time: 50 minutes
# with the exercises. You need: [02 Metrics](02_metrics.ipynb), [10 Table 1](10_overall_performance.ipynb).
#
# ## The idea: read the curve sideways
#
# Read upwards, a learning curve says how good a system is at N labels. Read **sideways**, it says how many labels another
# system would need for the same quality. That is the paper's claim: not "better", but "the same with fewer".

# %%
import numpy as np
import pandas as pd
from lesson import cells, draws, gap, profile, results, show, tell

from laser_core import datasets, figures, metrics
from laser_core.study import contrast, learning_curves, paper
from laser_core.systems import SYSTEMS

DATASET, PLAIN = "ml-1m", "statistics=false"
titles = {name: datasets.about(name).title for name in datasets.NAMES}
table = results(DATASET)
chosen = [(name, "") for name in ("history-lr", "stats-lr", "sim", "laser-crm")]
chosen += [("sim", PLAIN), ("laser-llm-counted", "block=1"), ("laser-llm-counted", 'block=1, targets="shots"')]
keep = [pair in chosen for pair in zip(table["system"], table["variant"], strict=True)]
print(f"profile: {profile()} · {len(table)} recorded points on {titles[DATASET]}")
missing = "not run: laser study run crm-ml-1m"
show(figures.sample_efficiency(table[keep], titles=titles) if any(keep) else figures.empty(missing), "recorded")

# %% [markdown]
# Two versions of the same model, SIM, are in the picture: the plain one (`statistics=false`) reads ids as in the paper, the other
# one also reads statistics of the user's whole history. No language model is involved in either. Keep the gap between them in
# mind. LLM+CRM stands beside them; it reads the statistics too, and we come back to it below. So does the language model alone, twice
# with the same prompts: one learns from every rating that a prompt asks about, one from the N targets only (`targets="shots"`).
#
# ## Match point and data multiplier
#
# Let $f(N)$ be a system's curve, made monotone and interpolated over $\log N$, and $g$ the baseline's.
#
# $$\text{match point} = \min\{N : f(N) \ge g(N_{\text{all}})\}, \qquad m(N) = \frac{g^{-1}(f(N))}{N}$$
#
# The match point is where the system reaches what the baseline has with *all* labels. The data multiplier says how many times
# as many labels the baseline needs to equal the system at N. The smallest code: straight lines between the points.


# %%
def labels_needed(shots, auc, wanted):
    """The smallest N at which a curve reaches `wanted`; 0: before its first point, infinity: never."""
    auc = np.maximum.accumulate(auc)  # more labels do not hurt
    if wanted < auc[0]:
        return 0.0
    return np.exp(np.interp(wanted, auc, np.log(shots))) if wanted <= auc[-1] else np.inf


def curve(system, variant="", dataset=DATASET):
    """A system's curve with its bootstrap over seeds and test users; None where it has no two points."""
    own = cells().query("dataset == @dataset and system == @system and variant == @variant")
    own = own[own["test_rows"] == own["test_rows"].max()]
    return learning_curves.curve(draws, own) if own["train_rows"].nunique() > 1 else None


enriched, plain = curve("sim"), curve("sim", PLAIN)
needs = learning_curves.label_needs(enriched, plain)
by_lines = [
    labels_needed(plain.shots, plain.mean, value) / n for n, value in zip(enriched.shots, enriched.mean, strict=True)
]
shown = needs[needs["question"] == "multiplier"].assign(straight_lines=by_lines)
shown[["shots", "value", "low", "high", "straight_lines"]].round(
    1
)  # the kit's curve is smooth (PCHIP), so values differ

# %%
match = needs[needs["question"] == "match"].iloc[0]
met, first = (f"{one['value']:,.0f} [{one['low']:,.0f}; {one['high']:,.0f}]" for one in (match, shown.iloc[0]))
print(f"SIM with statistics reaches plain SIM's best at N = {met}.")
print(f"At N = {shown.iloc[0]['shots']:,} its data multiplier over plain SIM is {first}.")

# %%
finite = shown[np.isfinite(shown["value"]) & (shown["value"] > 0)]
note = f"{titles[DATASET]} · SIM with history statistics against SIM without · {plain.shots[-1]:,} labels at most"
show(figures.bars([f"{n:,}" for n in finite["shots"]], finite["value"], "N", "data multiplier", note), "recorded")

# %% [markdown]
# Values of *infinity* are findings, not errors: the system is better than the baseline ever was, with any number of
# labels it was given. And 0 means: no better than the baseline with its fewest.
#
# **A large data multiplier, and no language model anywhere.** So when an LLM system shows a large multiplier over a plain
# CRM, there are two explanations: it knows things, or it merely *reads the history* (titles with stars, in words) where the
# CRM has ids that it has hardly seen. The enriched CRM and the references exist to tell these apart.
#
# ## The paper's numbers, read sideways
#
# A sibling paper prints matched points on MovieLens-1M. Its LLM with 8,192 samples stands against its SIM:

# %%
printed = paper.matched().query("dataset == 'ml-1m'")
theirs = printed[printed["row"] == "SIM"]
print(printed.to_string(index=False))
ours = pd.DataFrame(
    {words: pd.Series(one.mean, one.shots) for words, one in (("plain", plain), ("with statistics", enriched))}
).dropna()
ours.loc[[n for n in ours.index if n >= 4096]].round(4)

# %%
shots, target = 8192, float(printed.query("row == 'Laser, LLM only' and shots == 8192")["auc"].iloc[0])
everything = cells().query("dataset == @DATASET and shots == 'all'")["train_rows"].max()
places = np.array([everything if n == "all" else n for n in theirs["shots"]], float)
print(f"AUC {target} with {shots:,} labels. For as much ...")
print(
    f"  their SIM needs {labels_needed(places, theirs['auc'].to_numpy(), target):,.0f} "
    "labels (straight lines between three points)"
)
for system, variant in (("sim", PLAIN), ("sim", ""), ("lightgbm", ""), ("stats-lr", ""), ("ease-lr", "")):
    found = learning_curves.labels_to_match(cells().query("dataset == @DATASET"), (system, variant), target)
    words = (
        "more labels than there are" if np.isinf(found) else f"{found:,.0f} labels, {found / shots:.0f} times as many"
    )
    print(f"  our {figures.system_label(system, variant)} needs {words}")

# %% [markdown]
# The same LLM result is worth several times more or less, by the choice of the baseline alone. It is a strong result against
# any of them (a model of thirteen billion parameters, which no laptop tunes); it is just not one
# number.
#
# ## The kit's own language models
#
# LLM+CRM beside its own backbone: how many times as many labels would SIM need, with the same statistics in its input?

# %%
laser = curve("laser-crm")
if laser is None:
    print("LLM+CRM: not run. To run it: laser study run laser-crm-ml-1m")
else:
    of_laser = learning_curves.label_needs(laser, enriched)
    for at in of_laser[of_laser["question"] == "multiplier"].itertuples():
        word = "more than one" if at.low > 1 else "less than one" if at.high < 1 else "one is within the interval"
        print(f"N = {at.shots:7,}: data multiplier {at.value:.2f} [{at.low:.2f}; {at.high:.2f}], {word}")

# %% [markdown]
# And each data set, at each N: the best system with a language model against the best without, on the same seeds and test users.
# Controls that read no text are left out, and who has fewer than three seeds. Both are picked by their *test* AUC, which
# flatters the side that has more to choose from: the interval allows for it (as in the dashboard's verdict), so it is wider than that
# of two systems named beforehand. Each set of test rows is a line of its own; where a language model is too slow
# for all of them, the other systems were often not asked about its rows either. `rivals` says how many systems without language
# were: where History-LR is the only one, nothing is decided about "the best", and the line is not counted. (`collaborative=true`
# hands a model, with language or without, the prediction of an item-item regression as well: notebook 10.)
#
# Equal *samples* need not be equal *labels*: a prompt that asks about the user's history teaches many labels at once (`labels`, of
# the one with a language model). So the same is asked a second time, of those only that learnt from no more than N labels.

# %%
places = zip(cells()["system"], cells()["variant"], strict=True)
done = cells().assign(side=[contrast.side(*place) for place in places])


def best_against_best(done):
    """On each data set, at each N and number of test rows: the best with a language model minus the best without."""
    rows = []
    for (dataset, n, size), at in done.groupby(["dataset", "train_rows", "test_rows"]):
        values = at.pivot_table(index=["side", "system", "variant"], columns="seed", values="auc")
        values = values[values.notna().sum(axis=1) >= 3].dropna(axis=1)  # the same seeds for everybody who has three
        means, sides = values.mean(axis=1), values.index.get_level_values("side")
        if values.shape[1] < 3 or not {"with", "without"} <= {*sides}:
            continue
        best = {side: means[side].idxmax() for side in ("with", "without")}
        series = dict(list(at[at["seed"].isin(values.columns)].groupby(["system", "variant"])))
        one, other = series[best["with"]], series[best["without"]]
        names = {side: figures.system_label(*pair) for side, pair in best.items()}
        rivals = sum(sides == "without")
        found = gap(one, other, among=(sum(sides != "without"), rivals))  # controls cannot win, but they were tried
        more = {"labels": round(one["labels_seen"].mean()), "rivals": rivals, "test rows": size}
        rows.append({"data": dataset, "N": n, **names, **found, **more})
    columns = ["data", "N", "with", "without", "gap", "low", "high", "seeds", "says", "labels", "rivals", "test rows"]
    return pd.DataFrame(rows, columns=columns)


own = best_against_best(done)
no_more = best_against_best(done[(done["side"] != "with") | (done["labels_seen"] <= done["train_rows"])])
counts = {
    words: one.query("rivals > 1").groupby(["data", "says"]).size()
    for words, one in (("equal samples", own), ("equal labels", no_more))
}
counts = pd.DataFrame(counts).unstack(fill_value=0).fillna(0).astype(int)
print(counts.to_string() if len(own) else "not run: laser study list names the studies with language models")

tell("the best with a language model against the best without, equal samples", own.query("rivals > 1"))
tell("equal labels", no_more.query("rivals > 1"))
own.round(4).set_index("data")

# %% [markdown]
# Three questions, three answers. Against *its own backbone* LLM+CRM saves labels wherever the interval above lies over 1. Against
# *the best system without a language model* the sentences say where it is ahead at equal samples, and where at equal labels:
# "level" is not nothing, but it is not sample efficiency either. And the last two are two claims. "Needs fewer *samples*" is
# fair where the history's ratings lie there anyway, for every system to learn from; "needs fewer *labels*" is the stronger word.
#
# ## Is it the language?
#
# The language model alone has counted shares beside the titles in its prompt. With "movie 17" in the place
# of every title it can know no film. What is left is the form of the prompt, and what it counts:

# %%
rows = []
for titled, blind in (("", 'titles="anonymous"'), ("statistics=true", 'titles="anonymous", statistics=true')):
    for words, variant in (("with titles", titled), ("without", blind)):
        at = done.query("dataset == 'movielens-small' and system == 'laser-llm-counted' and variant == @variant")
        for n, one in at[at["train_rows"] > 0].groupby("train_rows"):
            other = done.query("dataset == 'movielens-small' and system == 'history-lr' and train_rows == @n")
            about = {"statistics": "yes" if "statistics" in variant else "no", "titles": words, "N": n}
            rows.append({**about, **gap(one, other)})
blind = pd.DataFrame(rows).query("seeds >= 3") if rows else pd.DataFrame({"titles": [], "says": []})
said = blind[blind["titles"] == "without"]["says"].value_counts()
print(", ".join(f"{word} {count} times" for word, count in said.items()) or "not run: laser study run llm-small")
blind.round(4)

# %% [markdown]
# Every gap is to History-LR on the same test rows and subsets. Where "without" says *ahead*, no knowledge of films is needed for being
# ahead; what titles add lies between the lines of one N. An experiment that could have sunk the claim and has been run is worth
# more than ten that confirm it.
#
# ## One number for a whole curve
#
# Where no single N is special, take the mean of the AUC over $\log N$ between two N (the area under the curve):

# %%
areas = {}
references = [name for name, system in SYSTEMS.items() if system.family == "reference"]
pairs = [(name, "") for name in (*references, "sim", "gru4rec", "laser-crm")]
for system, variant in [*pairs, ("sim", PLAIN), ("gru4rec", PLAIN), ("laser-crm", PLAIN)]:
    one = curve(system, variant)
    if one is not None:
        area = metrics.area_under_curve(one)
        areas[figures.system_label(system, variant)] = {
            "mean AUC over log N": area.value,
            "low": area.low,
            "high": area.high,
        }
pd.DataFrame(areas).T.round(4).sort_values("mean AUC over log N", ascending=False)

# %% [markdown]
# ## What would change my mind
#
# About the paper's claim: an LLM system whose match point against the *best* system without language, references included,
# lies at a fraction of the *labels seen*, with an interval that leaves out 1. About my doubt that it is language that does it:
# all lines "without" falling back to History-LR while those "with titles" stay ahead, on data younger than the model's texts.
#
# ## Summary
#
# - Sideways: match point (where it reaches the baseline's best) and data multiplier (how many times the labels).
# - Both hang on the baseline. Name it; take the strongest one that reads the same facts.
# - Intervals over seeds *and* test users, curves monotone; infinity and zero are findings.
# - Say whether N counts samples or labels seen, and what is left without the titles.
#
# For real: [`efficiency.py`](../laser_core/metrics/efficiency.py), [`learning_curves.py`](../laser_core/study/learning_curves.py),
# [`summary.py`](../laser_core/study/summary.py). In the dashboard: **Sample efficiency** ("Labels needed to match").
#
# ## Exercises
#
# **1. Match point** (easy, 5 minutes). With `labels_needed`: how many labels does plain SIM need for what SIM with statistics
# reaches at its *second* N? (Straight lines between the points.)

# %%
import checks

needed = ...
# BEGIN SOLUTION
needed = labels_needed(plain.shots, plain.mean, enriched.mean[1])
# END SOLUTION
checks.needed(needed, plain, enriched)

# %% [markdown]
# **2. Monotone by pooling** (hard, 20 minutes). `np.maximum.accumulate` lifts everything after a lucky point. Better: the
# *nearest* non-decreasing values (least squares). Pool neighbours: whenever a value is lower than the one before, replace both
# by their mean, and go on until none is (a pooled block counts with its size).


# %%
def pooled(values):
    ...
    # BEGIN SOLUTION
    blocks = []  # [mean, size]
    for value in values:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    return np.concatenate([[mean] * size for mean, size in blocks])
    # END SOLUTION


checks.pooled(pooled)

# %% [markdown]
# **3. Area** (medium, 10 minutes). The mean of an AUC over log N between the first and the last N: the area under straight
# lines over $\log N$, divided by the width.


# %%
def mean_over_log(shots, auc):
    ...
    # BEGIN SOLUTION
    x = np.log(shots)
    return np.trapezoid(auc, x) / (x[-1] - x[0])
    # END SOLUTION


checks.mean_over_log(mean_over_log)

# %% [markdown]
# **4. Labels seen** (easy, 5 minutes). Each prompt of `prompts` is the list of the ratings (by number) that it asks about. How many
# *labels* does a model learn from that is fitted on all of them? (Prompts of one user overlap.)


# %%
def labels_seen(prompts):
    ...
    # BEGIN SOLUTION
    return len({rating for prompt in prompts for rating in prompt})
    # END SOLUTION


checks.labels_seen(labels_seen)
