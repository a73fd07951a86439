# %% [markdown]
# # Your own data: from a CSV to a curve
#
# **You will** describe a table of ratings in a short file, let the kit check it, and draw the sample-efficiency curve of your
# own data.
#
# Data: a small made-up film club, written here as CSV files. Machine: any, no GPU. Time: 40 minutes with the exercises. You
# need: [01 The data](01_data.ipynb). Bring a CSV with user, item, rating and, if you have it, time.
#
# ## The tables
#
# We make a film club up, so that we know what is true in it: each person likes half of the genres, gives 4 or 5 stars to films of
# those and 1 to 3 to others, and one rating in five is noise. Nothing else is in it.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from lesson import pick, profile, show

from laser_core import figures
from laser_core.datasets import card, load
from laser_core.errors import LaserError
from laser_core.metrics import evaluate
from laser_core.systems import create

folder, generator = Path(tempfile.mkdtemp()), np.random.default_rng(0)
os.environ["LASER_HOME"] = str(folder / "home")  # what is made up here leaves nothing behind in your own
people, films, each = pick(60, 150), 80, 40
genres = np.array(["action", "comedy", "drama", "horror"])
films_table = pd.DataFrame(
    {
        "film_id": [f"f{n}" for n in range(films)],
        "name": [f"Film {n}" for n in range(films)],
        "genre": genres[np.arange(films) % 4],
    }
)
likes = np.array([generator.permutation([True, True, False, False]) for _ in range(people)])  # person x genre
seen = np.concatenate([generator.permutation(films)[:each] for _ in range(people)])
person = np.repeat(np.arange(people), each)
liked = likes[person, seen % 4] ^ (generator.random(len(person)) < 0.2)
ratings = pd.DataFrame({"who": [f"p{n}" for n in person], "film_id": [f"f{n}" for n in seen]})
ratings["stars"] = np.where(liked, generator.integers(4, 6, len(person)), generator.integers(1, 4, len(person)))
ratings["when"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.permutation(len(person)), unit="h")
ratings.to_csv(folder / "ratings.csv", index=False)
films_table.to_csv(folder / "films.csv", index=False)
print(f"profile: {profile()} · {len(ratings):,} ratings by {people} people")
ratings.head(3)

# %% [markdown]
# ## The label
#
# The kit predicts yes or no. Where to cut? A label that is nearly always yes has little to teach, so look at the shares first:

# %%
shares = {f"stars >= {cut}": (ratings["stars"] >= cut).mean() for cut in (2, 3, 4, 5)}
show(figures.bars(shares, shares.values(), "label rule", "share of positives", "made-up film club", percent=True))

# %% [markdown]
# ## The mapping file
#
# One TOML file says what the columns are, what counts as liked, and how to split. `split = "time"` is the honest default: test is
# what came last. (`"last-of-each-user"` keeps every person in every part; `"random"` is for data without time.) Times are seconds or
# ISO 8601, other forms are named (`time_format = "%d/%m/%Y"`), as nobody can guess whose month comes first. And the same rating twice
# is an error until you say `duplicates = "last"`: the second would have the first one's label in its history.

# %%
mapping = """
name = "course-films"
title = "The film club"
item_noun = "film"
label = "rating >= 4"
split = "time"

[ratings]
file = "ratings.csv"
user = "who"
item = "film_id"
rating = "stars"
time = "when"
scale = [1, 2, 3, 4, 5]

[items]
file = "films.csv"
id = "film_id"
title = "name"
group = "genre"
fields = ["genre"]
"""
(folder / "films.toml").write_text(mapping)
data = load(folder / "films.toml")
print(f"{data.users} users, {data.items} items, {data.events:,} ratings, of which {data.samples:,} are samples")
pd.DataFrame(card(data)["splits"]).T.round(3)

# %% [markdown]
# `load` parses once and keeps the result under its name in the kit's home folder (`LASER_HOME`; here a temporary one); it parses
# again when the mapping file or a table has changed. From now on `course-films` works wherever a data set's name goes.
#
# ## When something is wrong
#
# Real tables are dirty. Every check says what is wrong and where, in one line:

# %%
broken = {
    "a column that is not there": (mapping.replace('"stars"', '"score"'), ratings),
    "a rating off the scale": (mapping, ratings.assign(stars=ratings["stars"].where(ratings.index != 7, 55))),
    "a film nobody described": (mapping, ratings.assign(film_id=ratings["film_id"].where(ratings.index != 7, "f999"))),
    "a label nobody can miss": (mapping.replace(">= 4", ">= 1"), ratings),
}
for number, (words, (text, table)) in enumerate(broken.items()):
    own = Path(tempfile.mkdtemp())
    table.to_csv(own / "ratings.csv", index=False)
    films_table.to_csv(own / "films.csv", index=False)
    (own / "films.toml").write_text(text.replace("course-films", f"course-broken-{number}"))
    try:
        load(own / "films.toml")
    except LaserError as error:
        print(f"{words}: {str(error).replace(str(own), '.')}")

# %% [markdown]
# ## Does it learn what is true?
#
# In this world nobody can do better than knowing each person's two genres. That ceiling, and two systems:

# %%
code = data.sample_item(data.test)
who = [int(data.fields["user"].text(user)[1:]) for user in data.sample_user(data.test)]
film = [int(data.fields["item"].text(item)[1:]) for item in code]
labels = data.labels(data.test)
found = {"knows the truth": evaluate(labels, np.where(likes[who, np.array(film) % 4], 0.8, 0.2))}
shots = pick(256, 1024)
for name in ("popularity", "history-lr"):
    model = create(name).fit(data, data.shots(shots, 0), data.validation_rows(shots, 0), seed=0)
    found[name] = evaluate(labels, model.predict(data, data.test))
pd.DataFrame(found).T.round(3)

# %% [markdown]
# Popularity has nothing to find here (every film is liked by half of the people); History-LR reads "liked share of films of the same
# group" and comes near the ceiling. On your own data there is no ceiling to print, so **plant one once**: it is the cheapest test
# that the columns mean what you think.
#
# ## The curve

# %%
from laser_core.study import runner
from laser_core.study.spec import Grid, Study
from laser_core.study.store import ResultStore
from laser_core.study.summary import summarise

grid = Grid(
    datasets=("course-films",),
    systems=pick(("history-lr", "stats-lr"), ("popularity", "history-lr", "lightgbm", "deepfm")),
    shots=pick((64, 256), (64, 256, 1024)),
    seeds=pick((0,), (0, 1, 2)),
)
study = Study("own-data", "The film club", "How many labels does it take?", (grid,), profile())
store = ResultStore(folder / "runs")
runner.run(study, store)
results = summarise(runner.results(study, store))
show(figures.sample_efficiency(results, titles={"course-films": "The film club"}))

# %%
last = results[results["train_rows"] == results["train_rows"].max()].sort_values("auc", ascending=False)
for row in last.itertuples():
    print(f"N = {row.shots}: {figures.system_label(row.system)} {row.auc:.3f} [{row.auc_low:.3f}; {row.auc_high:.3f}]")
print(f"ceiling: {found['knows the truth']['auc']:.3f}")

# %% [markdown]
# The same without Python: save a study file with `datasets = ["films.toml"]`, then `laser study run FILE` and `laser app`. To add a
# language model, name `laser-llm-short` among the systems: it reads the titles, so give it real ones.
#
# ## What would change my mind
#
# That a curve on your data says something would be doubtful if no *paired* gap to History-LR leaves out zero at any N (take more
# test data, or there is nothing in it beyond how users rated so far), or if a random split gives another order of systems than
# the split by time.
#
# ## Summary
#
# - A mapping file of a dozen lines makes any table of ratings a data set of the kit.
# - Look at the label's share and at the card before fitting anything.
# - Plant a truth once; compare with the references always.
#
# For real: [`custom.py`](../laser_core/datasets/custom.py) (every setting), [`build.py`](../laser_core/datasets/build.py) (splits),
# [`spec.py`](../laser_core/study/spec.py) (studies). In the dashboard: **Data**, then **Sample efficiency**. Next:
# [15 Which labels to buy](15_which_labels.ipynb).
#
# ## Exercises
#
# **1. Another shop's export** (medium, 10 minutes). `books.csv` looks like this:
#
# ```
# reader;isbn;grade
# anna;0140449132;9
# ```
#
# Grades go from 1 to 10, 8 and more are liked, there is no time. Write its mapping file (name `course-books`, items are books, no table
# of items, a person's first 2 ratings are history only).

# %%
import checks

books = ...
# BEGIN SOLUTION
books = """
name = "course-books"
item_noun = "book"
label = "rating >= 8"
split = "random"
history_only = 2

[ratings]
file = "books.csv"
delimiter = ";"
user = "reader"
item = "isbn"
rating = "grade"
scale = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
"""
# END SOLUTION
checks.books(books)

# %% [markdown]
# **2. The most even label** (easy, 5 minutes). For a column of ratings: the cut c for which the share of `rating >= c` is nearest one
# half.


# %%
def most_even_cut(values):
    ...
    # BEGIN SOLUTION
    cuts = np.unique(values)
    return min(cuts, key=lambda cut: abs((values >= cut).mean() - 0.5))
    # END SOLUTION


checks.most_even_cut(most_even_cut)

# %% [markdown]
# **3. How new is the test set?** (easy, 5 minutes). The share of test samples whose user has fewer than 10 earlier ratings.

# %%
newcomers = ...
# BEGIN SOLUTION
earlier = data.sample_event[data.test] - data.history_start(data.test, 0)
newcomers = (earlier < 10).mean()
# END SOLUTION
checks.newcomers(newcomers, data)
