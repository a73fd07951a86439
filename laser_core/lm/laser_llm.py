"""Laser, LLM only: a language model reads a sample as text and says yes or no (Lin et al., 2024, doi 10.1007/s11704-024-40039-z).

Two forms of prompt. `one`: the paper's, one prompt a sample. `many`: the user's timeline is a sequence of questions and answers, and one
pass asks about many targets (see `prompts`). Both are scored and tuned by the same code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from laser_core import __version__
from laser_core.crm.statistics import event_statistics, statistic_names
from laser_core.datasets.dataset import CTRDataset
from laser_core.errors import DataError, FaultError, UserError
from laser_core.lm import backbones, vllm_engine
from laser_core.lm.prompts import Prompt, Renderer, read_template
from laser_core.lm.retrieval import Retrieval
from laser_core.metrics.ranking import log_loss_of_odds
from laser_core.progress import Progress, no_progress
from laser_core.recommender import Recommender, check_both_classes, check_options, evenly
from laser_core.settings import get_settings

if TYPE_CHECKING:
    from laser_core.lm.scoring import Encoded
    from laser_core.lm.tuning import Tuning

log = logging.getLogger("laser")
_CHUNK = 1024  # prompts rendered and kept in memory at once


@dataclass(frozen=True)
class LaserLLMOptions:
    """Settings of Laser, LLM only."""

    backbone: str = "smollm2-135m"
    """short name, folder or hub id of the language model"""
    prompt: Literal["one", "many"] = "one"
    """one target a prompt, or many targets in one sequence"""
    history: int = 0
    """K: how many of the last ratings are shown; 0 takes the data set's own"""
    block: int = 1
    """many: so many consecutive ratings of a user share one sequence, each seeing K to K + block - 1 earlier ones"""
    targets: Literal["history", "shots"] = "history"
    """many: learn from every answer in the sequence of a shot, or from the shots' own answers only (labels_seen tells the difference)"""
    template: str = ""
    """a template's name or file; empty: that of the prompt form"""
    titles: Literal["plain", "anonymous"] = "plain"
    """anonymous: "movie 17" instead of titles"""
    answers: tuple[str, ...] = ()
    """the two answer words, positive first; empty: the backbone's"""
    max_tokens: int = 1024
    """a longer prompt loses its oldest ratings"""
    epochs: int = 2
    """0: no tuning, the labels of the shots are not used"""
    learning_rates: tuple[float, ...] = (1e-3,)
    """of several, validation chooses"""
    batch_size: int = 256
    """prompts an optimizer step (at most N)"""
    max_steps: int = 0
    """stop after so many optimizer steps; 0: no limit"""
    valid_limit: int = 256
    """at most so many validation samples choose the epoch and the learning rate; 0: no choice, the last epoch is kept"""
    rank: int = 8
    """of the adapter"""
    alpha: float = 16.0
    """the adapter's weight is alpha / rank"""
    dropout: float = 0.05
    """of the adapter's input"""
    layers: Literal["query-value", "all"] = "query-value"
    """which linear layers of a block get an adapter"""
    top_blocks: int = 0
    """only the last so many blocks get adapters: of 30, the last 10 halve the time of tuning; 0: all"""
    precision: Literal["auto", "bf16", "fp32", "int8", "4bit"] = "auto"
    """auto: bf16 where the processor multiplies it fast, else fp32; int8 and 4bit: weights in so few bits, on an NVIDIA GPU"""
    pass_size: int = 0
    """prompts that go through the model at once; 0: 1 on a CPU, 16 on a GPU"""
    retrieval: bool = field(default=False, metadata={"late": True})
    """one: show the K ratings of the whole history whose items are most like the target, not the last K (see `retrieval`); tuned on both.
    many: ask about each target after these K too, in a sequence of its own; tuned on both, and the two log-odds are averaged"""
    encoder: str = field(default="minilm-l6", metadata={"late": True})
    """retrieval, nearby: whose vectors say what is alike; the paper takes the language model itself, which takes longer"""
    components: int = field(default=128, metadata={"late": True})
    """retrieval, nearby: principal axes kept of the vectors"""
    engine: Literal["torch", "vllm"] = field(default="torch", metadata={"late": True})
    """what predicts; vllm, if installed, serves many requests on GPUs (tuning is torch's in any case)"""
    learn: Literal["adapter", "readout"] = field(default="adapter", metadata={"late": True})
    """adapter: LoRA, by gradients; readout: the model stays as it is, a regression reads its middle blocks (see `readout`)"""
    statistics: bool = field(default=False, metadata={"late": True})
    """readout: read the causal history statistics beside the model's blocks, as conventional models with the enriched input do"""
    nearby: float = field(default=0.0, metadata={"late": True})
    """readout: read what the user thought of the items nearest to the target beside the model's blocks, as LLM+CRM does; width of the
    kernel (`knowledge/nearby.py`, .1 there); 0: no such"""
    depths: tuple[float, ...] = field(default=(0.6, 0.75), metadata={"late": True})
    """readout: after which shares of the blocks to read"""
    strengths: tuple[float, ...] = field(default=(1e-4, 3e-4, 1e-3), metadata={"late": True})
    """readout: variances of a weight (the larger, the smaller the penalty) to choose from"""

    def __post_init__(self) -> None:
        backbones.need(self.backbone, "decoder", "Laser, LLM only")
        backbones.get(self.encoder)
        if self.answers and len(self.answers) != 2:
            raise UserError(f"option 'answers' must be two words, positive first, not {self.answers!r}")
        above = ("block", "max_tokens", "batch_size", "rank", "alpha", "components", "learning_rates", "depths", "strengths")
        least = ("history", "epochs", "max_steps", "valid_limit", "top_blocks", "pass_size", "nearby")
        check_options(self, positive=above, not_negative=least, shares=("dropout",))
        if len(self.learning_rates) > 1 and self.valid_limit == 0:
            raise UserError("options 'learning_rates' and 'valid_limit': several learning rates need validation samples to choose by")
        if self.prompt == "one" and (self.block != 1 or self.targets != "history"):
            raise UserError("options 'block' and 'targets' belong to prompt='many'")
        if self.engine == "vllm" and self.precision in ("int8", "4bit"):
            raise UserError(f"options 'engine' and 'precision': vllm computes in bf16 or fp32 here, not {self.precision}")
        if max(self.depths) > 1:
            raise UserError(f"option 'depths' must be at most 1, the whole depth, not {max(self.depths)}")
        for name in ("statistics", "nearby"):
            if getattr(self, name) and self.learn != "readout":
                raise UserError(f"option '{name}' belongs to learn='readout': an adapter reads the prompt only")
        if self.learn == "readout" and self.engine == "vllm":
            raise UserError("options 'learn' and 'engine': vllm does not show what a readout reads, take engine=torch")


@dataclass(frozen=True)
class Text:
    """One prompt and the samples it answers."""

    prompt: Prompt
    rows: np.ndarray
    """(wanted,) sample numbers"""
    slots: np.ndarray
    """(wanted,) which answer of the prompt is each sample's"""


class LaserLLM(Recommender):
    """A language model as recommender: zero-shot or in-context (`epochs=0`, or no shots), tuned by LoRA, or frozen and read out."""

    Options = LaserLLMOptions

    # ---- samples as text: no torch -------------------------------------------------------------------------------------------------

    def prompt(self, dataset: CTRDataset, row: int) -> Prompt:
        """What the model reads before it answers for one sample; of several prompts the first.

        Needs the backbone's tokenizer on this machine, but no torch, except with retrieval, or where a folder or hub id is asked about
        one target for the first time: transformers reads its chat template.
        """
        return self.prompts(dataset, row)[0]

    def prompts(self, dataset: CTRDataset, row: int) -> list[Prompt]:
        """All that it reads for one sample: with many targets and retrieval two prompts, unless they are the same."""
        return [text.prompt.until(int(dataset.sample_event[row])) for text in self.texts(dataset, np.array([row]))]

    def texts(self, dataset: CTRDataset, rows: np.ndarray, training: bool = False) -> Iterator[Text]:
        """The prompts that answer `rows`; each sample's prompts are the same whatever other samples are asked for.

        Args:
            training: End each sequence at its last shot, so that no label beyond the shots and their histories is in it; with one target
                and retrieval, a sample's plain prompt too.
        """
        if len(rows) == 0:
            return
        render = self._renderer(dataset)
        history = self.options.history or dataset.about.history_length
        if self.options.prompt == "one":
            yield from self._one_target(dataset, rows, render, history, training)
            return
        event = dataset.sample_event[rows]
        first = dataset.user_offsets[dataset.event_user[event]]
        end = dataset.user_offsets[dataset.event_user[event] + 1]
        start = first + (event - first) // self.options.block * self.options.block  # (rows,) first event of each row's block
        order = np.lexsort((event, start))
        for own in np.split(order, np.flatnonzero(np.diff(start[order])) + 1):
            begin, stop = int(start[own[0]]), int(end[own[0]])
            last = int(event[own[-1]]) if training else min(begin + self.options.block, stop) - 1
            prompt = render.many(max(int(first[own[0]]), begin - history), last, needed=begin)
            yield Text(prompt, rows[own], np.searchsorted(prompt.events, event[own]))
        if self.options.retrieval:
            for row, found, new in self._found(dataset, rows, history):
                if new:
                    target = int(dataset.sample_event[row])
                    prompt = render.lines(np.append(found, target), needed=target)
                    yield Text(prompt, np.array([row]), np.array([len(prompt.events) - 1]))

    def _one_target(self, dataset: CTRDataset, rows: np.ndarray, render: Renderer, history: int, training: bool) -> Iterator[Text]:
        """Each row's prompt; in training with retrieval also the plain one, where that is another."""

        def text(row: int, events: np.ndarray | None = None) -> Text:
            return Text(render.one(row, history, events), np.array([row]), np.zeros(1, dtype=int))

        if not self.options.retrieval:
            yield from (text(int(row)) for row in rows)
            return
        for row, found, new in self._found(dataset, rows, history):
            yield text(row, found)
            if training and new:
                yield text(row)

    def _found(self, dataset: CTRDataset, rows: np.ndarray, history: int) -> Iterator[tuple[int, np.ndarray, bool]]:
        """Each row, the events of its history that are most like its target, and whether these are others than the last ones."""
        search = self._retrieval(dataset)
        search.prepare(dataset.sample_event[rows])
        for row in map(int, rows):
            found = search.events(row, history)
            yield row, found, not np.array_equal(found, dataset.history_events(row, history))

    def _retrieval(self, dataset: CTRDataset, progress: Progress = no_progress) -> Retrieval:
        """Kept while the same items are asked about, in whatever histories (`explain.what_if` changes those and keeps the version)."""
        if getattr(self, "_search", None) is None or not dataset.version or self._search.dataset.version != dataset.version:
            self._search = Retrieval(dataset, self.options.encoder, self.options.components, progress)
        self._search.dataset, self._search.progress = dataset, progress
        return self._search

    def _renderer(self, dataset: CTRDataset) -> Renderer:
        options = self.options
        backbone = backbones.get(options.backbone)
        tokenizer = backbones.tokenizer(options.backbone)
        return Renderer(
            dataset,
            form=options.prompt,
            template=self._template,
            answers=options.answers or backbone.answers,
            chat=self._chat,
            titles=options.titles,
            count=lambda text: len(tokenizer.encode(text).ids),
            budget=min(options.max_tokens, backbones.context(options.backbone)),
        )

    @property
    def _template(self) -> str:
        return self.options.template or self.options.prompt

    @property
    def _chat(self) -> str:
        """How the backbone wants one target's prompt wrapped; many stand in a text that goes on."""
        return backbones.chat_format(self.options.backbone) if self.options.prompt == "one" else "{prompt}"

    # ---- learning and scoring --------------------------------------------------------------------------------------------------------

    def fit(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int = 0, progress: Progress = no_progress) -> Self:
        """Tune an adapter on the labels of `rows`. Without rows, or with epochs=0, the model stays as it is and no label is used.

        Raises:
            UserError: The labels of `rows` are all the same, the options do not fit the backbone, or nothing is there to choose among
                several learning rates by.
            FaultError: The backbone's weights are not to be had, vLLM is asked for and not installed, or tuning fails.
        """
        from laser_core.device import torch_device
        from laser_core.lm import scoring
        from laser_core.lm.processes import team

        options = self.options
        tuned = len(rows) > 0 and options.epochs > 0
        if tuned and options.learn == "adapter" and len(options.learning_rates) > 1 and len(valid_rows) == 0:
            raise UserError("option 'learning_rates': several need validation samples to choose by, and there are none: give one rate")
        if options.engine == "vllm":
            vllm_engine.check()  # now, and not when hours of tuning are over
        backbones.fetch(options.backbone, progress)
        if options.retrieval:
            self._retrieval(dataset, progress).prepare(dataset.sample_event[np.concatenate([rows, valid_rows]).astype(int)])
        tokenizer = backbones.tokenizer(options.backbone)
        self._open(scoring.answer_ids(tokenizer, self.prompt(dataset, int(dataset.train[0]))), progress)
        self.labels_seen_, self.curve_, self.cost_ = 0, [], {}
        if not tuned:
            if team().sharded:
                self.model_.to(torch_device())
            return self
        check_both_classes(dataset, rows)

        texts = list(self.texts(dataset, np.unique(rows), training=True))
        encoded = self._encode(texts)
        labels = self._labels(dataset, texts)
        self.labels_seen_ = len(np.unique(np.concatenate([text.prompt.events[own >= 0] for text, own in zip(texts, labels, strict=True)])))
        if options.learn == "readout":
            self._read_out(dataset, texts, encoded, labels, progress)
        else:
            self._tune(dataset, rows, np.unique(evenly(valid_rows, options.valid_limit)), encoded, labels, seed, progress)
        return self

    def _tune(
        self,
        dataset: CTRDataset,
        rows: np.ndarray,
        valid: np.ndarray,
        encoded: list[Encoded],
        labels: list[np.ndarray],
        seed: int,
        progress: Progress,
    ) -> None:
        """Learn an adapter with each of the learning rates, and keep the one that validation likes best."""
        from laser_core.lm import tuning
        from laser_core.lm.processes import team

        options = self.options
        self.adapted_ = tuning.add_adapter(self.model_.model, self.tuning_at(options.learning_rates[0]), seed)
        validate = (lambda: log_loss_of_odds(dataset.labels(valid), self._log_odds(dataset, valid)[0])) if len(valid) else None
        fresh = kept = tuning.trainable(self.model_)
        best, tokens, earlier, failures = np.inf, 0, 0.0, []
        notes = self._notes(dataset, rows, valid, seed)
        for number, rate in enumerate(options.learning_rates):
            settings = self.tuning_at(rate)
            tuning.restore(self.model_, fresh)
            note = notes / f"{number}.safetensors"
            earlier += tuning.noted_seconds(note)
            try:
                curve = tuning.tune(self.model_, encoded, labels, settings, seed, self.texts_a_pass(), validate, progress, note)
            except FaultError as error:
                failures.append(error)
                log.warning("learning rate %g failed: %s", rate, error)
                progress(f"learning rate {rate:g} failed: {error}", 0, 0)
                self.curve_ += [{"learning_rate": rate, "epoch": 1, "failed": 1.0}]
                continue
            self.curve_ += [{"learning_rate": rate, **entry} for entry in curve]
            loss = min(entry["valid_loss"] for entry in curve if "valid_loss" in entry) if validate else -np.inf
            if loss < best:
                best, kept = loss, tuning.trainable(self.model_)
            tokens += int(curve[-1]["tokens"])
        team().from_first(lambda: shutil.rmtree(notes, ignore_errors=True))  # who writes them, and no other
        if len(failures) == len(options.learning_rates):
            raise failures[-1]
        tuning.restore(self.model_, kept)
        self.cost_ = {"fit_texts": len(encoded), "fit_tokens": tokens, "stored_fit_seconds": round(earlier, 3)}

    def _read_out(
        self, dataset: CTRDataset, texts: list[Text], encoded: list[Encoded], labels: list[np.ndarray], progress: Progress
    ) -> None:
        """Learn a regression on the states of the frozen model, in the place of its answer words."""
        from laser_core.lm import readout
        from laser_core.lm.processes import team

        if team().sharded:
            raise UserError("option 'learn': a readout does not learn in several parts (FSDP): take the DDP settings, or learn=adapter")
        self._cut_down()
        learn = [np.flatnonzero(own >= 0) for own in labels]
        read, saved = self._states(dataset, texts, encoded, learn, lambda done: progress("reading", done, len(encoded)), progress)
        wanted = np.concatenate([own[own >= 0] for own in labels])
        own = np.concatenate([np.isin(slots, text.slots) for text, slots in zip(texts, learn, strict=True)])
        users = dataset.event_user[np.concatenate([text.prompt.events[slots] for text, slots in zip(texts, learn, strict=True)])]
        progress("regression", 0, 0)
        states = np.concatenate(read)
        self.fitted_on_ = {"dataset": dataset.name, "statistics": list(statistic_names(dataset))}
        counted = states.shape[1] - self.model_.size
        *self.readout_, self.curve_ = readout.regress(states, wanted, users, own, self.options.strengths, counted)
        fit_tokens = sum(len(text.tokens) for text in encoded)
        self.cost_ = {"fit_texts": len(texts), "fit_tokens": fit_tokens, "stored_fit_seconds": round(saved, 3)}

    def _cut_down(self) -> None:
        """Keep of the open backbone what a readout reads."""
        from laser_core.lm import readout

        self.model_ = readout.States(self.model_.model, readout.blocks_at(self.options.depths, len(readout.blocks_of(self.model_.model))))

    def _states(
        self, dataset: CTRDataset, texts: list[Text], encoded: list[Encoded], slots: list[np.ndarray], done: Any, progress: Progress
    ) -> tuple[list[np.ndarray], float]:
        """What `readout.stored` says of these answers of the texts; with options statistics and nearby, their numbers beside it."""
        from laser_core.lm import readout
        from laser_core.lm.processes import team

        options, model, store = self.options, self.model_, None
        if team().size == 1:
            dtype = f"{options.precision} {next(model.parameters()).dtype}"
            folder = backbones.fetch(options.backbone)
            store = readout.state_store(options.backbone, folder, dtype, model.blocks, model.size, dataset.name)
        wanted = [(text.prompt.text, own) for text, own in zip(texts, slots, strict=True)]

        def waiting() -> None:
            progress(f"waiting for another process that reads prompts of {dataset.name}", 0, 0)

        read, saved = readout.stored(model, store, wanted, encoded, self.texts_a_pass(), done, waiting)
        events = np.concatenate([text.prompt.events[own] for text, own in zip(texts, slots, strict=True)])
        ends = np.cumsum([len(own) for own in slots])[:-1]
        beside = [event_statistics(dataset, events)] if options.statistics else []
        beside += [self._retrieval(dataset, progress).opinions(events, options.nearby)] if options.nearby else []
        for numbers in beside:
            read = [np.hstack(pair) for pair in zip(read, np.split(numbers, ends), strict=True)]
        return read, saved

    def predict(self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress) -> np.ndarray:
        """(rows,) float64 probabilities of a positive label.

        Raises:
            UserError: It is not fitted, `rows` are no samples of the data set, or its readout knows other history statistics.
        """
        self.check_fitted(hasattr(self, "model_"))
        wanted, back = np.unique(dataset.check_rows(rows), return_inverse=True)
        learned_on = self.fitted_on_ if self.options.statistics else None
        if learned_on is not None and learned_on["statistics"] != list(statistic_names(dataset)):
            raise UserError(
                f"this readout was fitted on {learned_on['dataset']}, whose history statistics {dataset.name} has not: "
                "fit it on this data set, or with statistics=false"
            )
        if self.options.retrieval:
            self._retrieval(dataset, progress).prepare(dataset.sample_event[wanted])
        odds, tokens = self._log_odds(dataset, wanted, progress, self._vllm().log_odds if self.options.engine == "vllm" else None)
        self.cost_ = {**self.cost_, "predict_tokens": tokens}
        if self.readout_ is not None:
            self.cost_["stored_predict_seconds"] = round(self._saved, 3)
        return (1 / (1 + np.exp(-odds)))[back]

    def parameter_count(self) -> int:
        """How many numbers `fit` learned (0 before)."""
        if getattr(self, "readout_", None) is not None:
            return len(self.readout_[0]) + 1
        if getattr(self, "adapted_", None) is None:
            return 0
        return sum(weight.numel() for name, weight in self.adapted_.named_parameters() if "lora_" in name)

    def _log_odds(
        self, dataset: CTRDataset, rows: np.ndarray, progress: Progress = no_progress, score: Any = None
    ) -> tuple[np.ndarray, int]:
        """Log-odds of yes for distinct, ascending rows, the mean over a row's prompts, and how many tokens were read.

        `score` may stand in for `scoring.log_odds`.
        """
        from laser_core.lm import scoring

        score = score or (lambda encoded, done: scoring.log_odds(self.model_, encoded, self.texts_a_pass(), done))
        odds, asked, self._saved = np.zeros(len(rows)), np.zeros(len(rows)), 0.0
        done, tokens = 0, 0
        answers = len(rows) * (2 if self.options.prompt == "many" and self.options.retrieval else 1)  # at most
        source = self.texts(dataset, rows)
        while texts := list(islice(source, _CHUNK)):
            encoded = self._encode(texts)
            tokens += sum(len(entry.tokens) for entry in encoded)
            answered = np.cumsum([0, *(len(text.rows) for text in texts)])

            def report(texts_done: int, before: int = done, answered: np.ndarray = answered) -> None:
                progress("scoring", before + int(answered[texts_done]), answers)

            if self.readout_ is not None:
                weight, bias = self.readout_
                states, saved = self._states(dataset, texts, encoded, [text.slots for text in texts], report, progress)
                self._saved += saved
                found = [own.astype(float) @ weight + bias for own in states]
            else:
                found = [own[text.slots] for text, own in zip(texts, score(encoded, report), strict=True)]
            for text, own in zip(texts, found, strict=True):
                place = np.searchsorted(rows, text.rows)
                odds[place] += own
                asked[place] += 1
            done += int(answered[-1])
        return odds / asked, tokens

    def _notes(self, dataset: CTRDataset, rows: np.ndarray, valid_rows: np.ndarray, seed: int) -> Path:
        """The folder where tuning on just these samples with just these settings notes its state, so that a killed run goes on."""
        from laser_core.device import torch_device

        device = torch_device()
        settings = [
            __version__,
            dataset.version,
            dataclasses.asdict(self.options),
            seed,
            backbones.identity(backbones.fetch(self.options.backbone)),
            read_template(self._template, self.options.prompt),  # a file may be edited under the same name
            self._chat,
            device.type,
            str(backbones.precision(self.options.precision, device)),
        ]
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for part in (rows, valid_rows):
            key.update(np.ascontiguousarray(part, dtype="<i8").tobytes() + b"/")
        return get_settings().home / "tuning" / key.hexdigest()[:20]

    def _labels(self, dataset: CTRDataset, texts: list[Text]) -> list[np.ndarray]:
        """Of each text (answers,) the labels that may be learned from, -1 elsewhere."""
        free = np.full(dataset.events, self.options.targets == "history")
        free[dataset.sample_event[np.concatenate([dataset.valid, dataset.test])]] = False  # a split by lot puts them into histories
        learned = []
        for text in texts:
            learn = free[text.prompt.events]
            learn[text.slots] = True
            learned.append(np.where(learn, dataset.event_label[text.prompt.events].astype(np.int64), -1))
        return learned

    def _encode(self, texts: list[Text]) -> list[Encoded]:
        from laser_core.lm import scoring

        return scoring.encode(backbones.tokenizer(self.options.backbone), [text.prompt for text in texts])

    def tuning_at(self, learning_rate: float) -> Tuning:
        """How an adapter is learned with these options and one learning rate."""
        from laser_core.lm.tuning import Tuning

        shared = {entry.name: getattr(self.options, entry.name) for entry in dataclasses.fields(Tuning) if entry.name != "learning_rate"}
        return Tuning(learning_rate=learning_rate, **shared)

    def texts_a_pass(self) -> int:
        """Prompts that go through the model at once."""
        return self.options.pass_size or (1 if self.model_.device.type == "cpu" else 16)

    def _open(self, answers: tuple[int, int], progress: Progress = no_progress) -> None:
        """Load the backbone, untuned."""
        import torch

        from laser_core.device import torch_device
        from laser_core.lm.processes import team
        from laser_core.lm.scoring import AnswerModel

        progress("opening the language model", 0, 0)
        if team().sharded and self.options.precision in ("int8", "4bit"):
            raise UserError(f"option 'precision': FSDP does not spread weights of {self.options.precision}: take the DDP settings, or bf16")
        device = torch_device()
        dtype = backbones.precision(self.options.precision, device)
        place = torch.device("cpu") if team().sharded else device  # tuning puts each process's part in its place
        model = backbones.load_decoder(self.options.backbone, dtype, place, progress, self.options.precision)
        self.model_, self.answers_, self.adapted_, self.readout_ = AnswerModel(model, *answers), answers, None, None
        self.fitted_on_: dict[str, Any] | None = None
        self._engine: vllm_engine.Engine | None = None

    def _vllm(self) -> vllm_engine.Engine:
        """The fitted model in vLLM, started when it is first asked."""
        if self._engine is None:
            import torch

            adapter = None
            if self.adapted_ is not None:
                from laser_core.lm import tuning

                self._adapter_folder = tempfile.TemporaryDirectory()  # vLLM reads it with the first request
                adapter = Path(self._adapter_folder.name)
                tuning.save_adapter(self.adapted_, adapter, self.options.backbone)
            dtype = str(next(self.model_.body.parameters()).dtype).removeprefix("torch.")
            self.model_.to("cpu")  # vLLM wants the GPU's memory for itself ...
            torch.cuda.empty_cache()  # ... and torch would keep what it has freed
            self._engine = vllm_engine.Engine(backbones.fetch(self.options.backbone), self.answers_, dtype, adapter, self.options.rank)
        return self._engine

    # ---- keeping -----------------------------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> None:
        """Write `model.json` and, if fitted, `adapter/` (safetensors and settings) or `readout.safetensors`; never the backbone itself."""
        learned = {"tuned": self.adapted_ is not None, "readout": self.readout_ is not None, "fitted_on": self.fitted_on_}
        folder = self.write_words(folder, answers=self.answers_, **learned)
        if self.adapted_ is not None:
            from laser_core.lm import tuning

            tuning.save_adapter(self.adapted_, folder / "adapter", self.options.backbone)
        if self.readout_ is not None:
            from safetensors.numpy import save_file

            weight, bias = self.readout_
            save_file({"weight": np.ascontiguousarray(weight), "bias": np.array([bias])}, folder / "readout.safetensors")

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote, and open the backbone.

        Raises:
            DataError: The folder is incomplete, damaged or of another system.
            FaultError: The backbone's weights are not to be had.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from laser_core.lm import tuning

        folder = Path(folder)
        with cls.reading(folder, SafetensorError) as (made, state):
            yes, no = (int(answer) for answer in state["answers"])
            tuned = bool(state["tuned"])
            learned = None
            if state.get("readout"):
                read = load_file(folder / "readout.safetensors")
                learned = read["weight"], float(read["bias"][0])
        made._open((yes, no))
        if tuned:
            made.adapted_ = tuning.load_adapter(made.model_.model, folder / "adapter")
        if learned is not None:
            made._cut_down()
            made.fitted_on_ = state.get("fitted_on")  # earlier versions did not write it
            beside = made.options.statistics or made.options.nearby > 0
            if (len(learned[0]) > made.model_.size) != beside or len(learned[0]) < made.model_.size:
                raise DataError(f"the readout in {folder} is for another backbone than {made.options.backbone}: fit it again")
            made.readout_ = learned
        return made
