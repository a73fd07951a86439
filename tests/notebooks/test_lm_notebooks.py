"""The notebooks on language models: their checks tell right from wrong, they run without weights, and show what they speak of."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy.special import expit, softmax

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
sys.path.insert(0, str(FOLDER))  # as in a notebook

import build  # noqa: E402
import checks_lm  # noqa: E402


def bisected(odds, share):
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(odds + middle).mean() < share else (low, middle)
    return low


def lines_so_far(titles, answers):
    text, seen = "", []
    for title, answer in zip(titles, answers, strict=True):
        seen.append(f"{text}\n{title}:")
        text += f"\n{title}: {answer}"
    return seen


def answer_loss(odds, labels):
    known = labels != -1
    signed = np.where(labels == 1, odds, -odds)
    return -np.log(expit(signed[known])).mean()


def masks(ids, special, mask, share, generator):
    free = np.flatnonzero(~special)
    chosen = np.isin(np.arange(len(ids)), generator.choice(free, max(1, round(share * len(free))), replace=False))
    changed = ids.copy()
    changed[chosen] = mask
    return chosen, changed


def masks_special_too(ids, special, mask, share, generator):
    return masks(ids, np.zeros_like(special), mask, 1 - 1e-9, generator)


def masks_a_share_of_all(ids, special, mask, share, generator):
    return masks(ids, special, mask, share * len(ids) / (~special).sum(), generator)


def pairs_apart(auc, se, rho):
    return {(a, b) for a in auc for b in auc if a < b and abs(auc[a] - auc[b]) > 1.96 * se * (2 - 2 * rho) ** 0.5}


def on_a_circle(vectors, seed):
    order = np.random.default_rng(seed).permutation(len(vectors))
    moved = vectors.copy()
    for place, after in zip(order, [*order[1:], order[0]], strict=True):
        moved[after] = vectors[place]
    return moved


CASES = {
    # check: (a right answer, wrong answers that somebody could give)
    "yes_probability": (
        lambda yes, no: expit(yes - no),
        [lambda yes, no: np.exp(yes) / (np.exp(yes) + np.exp(no)), lambda yes, no: expit(no - yes)],
    ),
    "visible_text": (lines_so_far, [lambda titles, answers: [f"\n{t}: {a}" for t, a in zip(titles, answers, strict=True)]]),
    "shifted": (
        bisected,
        [
            lambda odds, share: np.log(share / (1 - share)),
            lambda odds, share: np.log(share / (1 - share)) - odds.mean(),
            lambda odds, share: 0.0,
        ],
    ),
    "adapter_size": (
        lambda shapes, rank: rank * sum(map(sum, shapes)),
        [lambda shapes, rank: sum(a * b for a, b in shapes), lambda shapes, rank: 15360],
    ),
    "unmerge": (lambda w, a, b, alpha: w - (alpha / a.shape[0]) * (b @ a), [lambda w, a, b, alpha: w - alpha * b @ a]),
    "answer_loss": (answer_loss, [lambda odds, labels: np.logaddexp(0, -odds * labels).mean()]),
    "retrieve": (
        lambda cosine, k: sorted(sorted(range(len(cosine)), key=lambda place: (cosine[place], place))[-k:]),
        [lambda cosine, k: np.argsort(-cosine, kind="stable")[:k], lambda cosine, k: np.sort(np.argsort(-cosine, kind="stable")[:k])],
    ),
    "mean_pooling": (
        lambda states, real: np.einsum("tls,tl->ts", states, real) / real.sum(1)[:, None],
        [lambda states, real: states.mean(1), lambda states, real: (states * real[:, :, None]).mean(1)],
    ),
    "last_snapshot": (lambda first, event, every: event - (event - first) % every, [lambda first, event, every: event // every * every]),
    "axes_needed": (
        lambda x, share: int((np.cumsum(np.linalg.eigvalsh(np.cov(x.T))[::-1]) / np.trace(np.cov(x.T)) < share).sum() + 1),
        [lambda x, share: int((np.cumsum(np.linalg.svd(x, compute_uv=False) ** 2) / (x**2).sum() < share).sum() + 1)],
    ),
    "mix": (lambda logits, outputs: np.einsum("bk,bke->be", softmax(logits, axis=1), outputs), [lambda logits, outputs: outputs.mean(1)]),
    "shuffled": (
        on_a_circle,
        [
            lambda vectors, seed: np.random.default_rng(seed).permutation(vectors),
            lambda vectors, seed: np.roll(vectors, 1, axis=0),
            lambda vectors, seed: np.stack([on_a_circle(vectors[:, [k]], seed + k)[:, 0] for k in range(vectors.shape[1])], axis=1),
        ],
    ),
    "whose_gain": (
        lambda gain: "texts" if gain("real", "shuffled")[0] > 0 else ("nothing", "plumbing")[gain("shuffled", "none")[0] > 0],
        [
            lambda gain: "texts" if gain("shuffled", "none")[0] > 0 else "nothing",
            lambda gain: (
                "texts"
                if gain("real", "shuffled")[0] > 0 and gain("shuffled", "none")[0] > 0
                else ("nothing", "plumbing")[gain("shuffled", "none")[0] > 0]
            ),
        ],
    ),
    "memory_bytes": (lambda n, bits, adapter: n * bits / 8 + 16 * adapter, [lambda n, bits, adapter: n * bits + 16 * adapter]),
    "error_correlation": (
        lambda a, b, both: (a * a + b * b - both * both) / (2 * a * b),
        [lambda a, b, both: 1 - both * both / (a * a + b * b), lambda a, b, both: (a * a + b * b - both * both) / (a * b)],
    ),
    "apart": (pairs_apart, [lambda auc, se, rho: pairs_apart(auc, se, 0.0), lambda auc, se, rho: pairs_apart(auc, se, 0.9)]),
    "field_phrases": (
        lambda fields: " ".join(f"{name}: {fields[name]}." for name in fields if fields[name]),
        [lambda fields: " ".join(f"{name}: {value}." for name, value in fields.items())],
    ),
    "encoder_passes": (
        lambda users, items: (users + items, users * items),
        [lambda users, items: (users * items, users * items), lambda users, items: (1050, 50000)],
    ),
    "mask_tokens": (masks, [masks_special_too, masks_a_share_of_all]),
}
"""name of a check -> answers"""


@pytest.mark.parametrize("name", CASES)
def test_a_check_tells_right_from_wrong_and_from_nothing(name, capsys):
    check, (right, wrong) = getattr(checks_lm, name), CASES[name]
    for answer in [right, *wrong, lambda *anything: None]:
        check(answer)
    verdicts = re.findall(r"Exercise \d: ([a-z ]+)\.", capsys.readouterr().out)
    assert verdicts == ["right", *["not yet"] * len(wrong), "not begun"]


def test_every_check_is_used_and_tested():
    own = {name for name in vars(checks_lm) if getattr(vars(checks_lm)[name], "__module__", "") == "checks_lm" and not name.startswith("_")}
    sources = "".join(source.read_text(encoding="utf-8") for source in build.sources())
    assert own == set(CASES) == set(re.findall(r"checks_lm\.(\w+)\(", sources))


@pytest.mark.parametrize("name", ["05_prompting", "08_knowledge"])
def test_without_weights_the_cells_that_need_them_say_so_and_pass(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_HOME", str(tmp_path))
    monkeypatch.setenv("LASER_OFFLINE", "1")
    monkeypatch.setenv("LASER_PROFILE", "smoke")
    notebook = build.execute(build.convert(FOLDER / f"{name}.py", solved=True), seconds=120)
    text = printed(notebook)
    assert "skipped" in text
    assert set(re.findall(r"Exercise \d+: (right|not yet|not begun)", text)) == {"right"}


def printed(notebook) -> str:
    """All text that the cells gave out."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize(
    ("name", "pattern", "low", "high"),
    [
        ("05_prompting", r"answers in the prompt +(0\.\d+)", 0.65, 0.9),
        ("05_prompting", r"zero-shot AUC (0\.\d+)", 0.3, 0.6),
        ("05_prompting", r"two rows (0\.\d+)", 0.05, 0.95),
        ("06_lora", r"learned \((0\.\d+)%\)", 0.2, 0.5),
        ("08_knowledge", r"random pairs (0\.\d+)", 0.4, 0.65),
        ("08_knowledge", r"neighbours by facts (0\.\d+)", 0.8, 1.0),
        ("08_knowledge", r"with the year: by MiniLM (0\.\d+)", 0.6, 0.75),
        ("08_knowledge", r"with the year: by MiniLM 0\.\d+, by TF-IDF (0\.\d+)", 0.55, 0.7),
        ("08_knowledge", r"the leak 'gains' \+(0\.\d+)", 0.005, 0.05),
        ("13_backbones", r"standard error of AUC over test users (0\.\d+)", 0.002, 0.006),
    ],
)
def test_committed_notebooks_show_what_they_speak_of(name, pattern, low, high):
    text = printed(nbformat.read(FOLDER / "solutions" / f"{name}.ipynb", as_version=4))
    assert low < float(re.search(pattern, text)[1]) < high
