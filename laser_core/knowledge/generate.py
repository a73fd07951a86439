"""What a language model writes, greedily, kept prompt by prompt in a file that can be read with any editor.

`settings.home / "texts" / <model>-<key>.jsonl`: one line a text: prompt, text, its tokens, its share of the seconds. A killed run loses at
most the pass it was in.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from laser_core.knowledge.encoder import padded, passes
from laser_core.knowledge.store import kept_at
from laser_core.lm import backbones
from laser_core.lm.halving import halving, within_memory
from laser_core.progress import Progress, no_progress

if TYPE_CHECKING:
    import torch

_PASS, _ROUND = 64, 16  # on a CPU, 64 texts at once take half as long a text as 16


def generate(name: str, prompts: Sequence[str], max_tokens: int = 64, progress: Progress = no_progress) -> list[str]:
    """(prompts,) what a causal language model writes after each, from the file if it is there, else now.

    Args:
        max_tokens: At most so many new tokens; a sentence that they cut off is dropped.

    Raises:
        FaultError: The backbone's weights are not to be had, or memory does not suffice.
    """
    backbones.fetch(name, progress)
    path = text_file(name, max_tokens)
    written = _read(path)
    if any(prompt not in written for prompt in prompts):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # another process that wants the same texts waits, and then finds them
            written = _read(path, cut=True)
            missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in written]
            done = 0
            for entries in _write(name, missing, max_tokens):
                with path.open("a", encoding="utf-8") as stream:
                    stream.write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
                written |= {entry["prompt"]: entry["text"] for entry in entries}
                done += len(entries)
                progress(f"writing texts with {name}", done, len(missing))
    return [written[prompt] for prompt in prompts]


def written(name: str, max_tokens: int = 64) -> dict[str, str]:
    """What a model wrote so far, with the weights and in the precision of this machine: prompt -> text."""
    return _read(text_file(name, max_tokens))


def text_file(name: str, max_tokens: int) -> Path:
    """Where the texts of a model are kept: of other weights, another chat format or precision, in another place."""
    folder = backbones.ready(name)
    writer = [backbones.identity(folder), backbones.chat_format(name), backbones.usual_precision()] if folder else []
    place = kept_at("texts", backbones.get(name).label, writer, max_tokens)
    return place.with_name(f"{place.name}.jsonl")


def _write(name: str, prompts: Sequence[str], max_tokens: int) -> Iterator[list[dict[str, object]]]:
    """Pass by pass, greedily. Passes have fixed shapes, so a text does not depend on its neighbours."""
    import torch

    model = open_decoder(name)
    chat = backbones.chat_format(name)
    tokenizer = backbones.tokenizer(name)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    tokens = [encoding.ids for encoding in tokenizer.encode_batch([chat.format(prompt=prompt) for prompt in prompts])]
    size = _PASS

    def go_on(ids: torch.Tensor, real: torch.Tensor, most: int) -> list[list[int]]:
        more = {"max_new_tokens": max_tokens, "do_sample": False, "pad_token_id": ends[0]}
        parts = zip(ids.split(most), real.split(most), strict=True)
        with torch.inference_mode():
            new = [model.generate(input_ids=own, attention_mask=mask, **more) for own, mask in parts]
        return [row[ids.shape[1] :] for part in new for row in part.tolist()]

    for group, width in passes([len(ids) for ids in tokens], _PASS, _ROUND):
        began = time.perf_counter()
        ids, real = (part.to(model.device) for part in padded([tokens[number] for number in group], _PASS, width, left=True))
        with within_memory("take a smaller backbone, or set a smaller max_tokens"):
            rows, size = halving(partial(go_on, ids, real), size, _PASS)
        seconds = (time.perf_counter() - began) / len(group)
        entries = []
        for number, row in zip(group, rows, strict=False):
            own = list(itertools.takewhile(lambda token: token not in ends, row))
            text = _whole(tokenizer.decode(own))
            entries.append({"prompt": prompts[number], "text": text, "tokens": len(own), "seconds": round(seconds, 3)})
        yield entries


def _whole(text: str) -> str:
    """One line, without a last sentence that was cut off (unless there is no other)."""
    text = " ".join(text.split())
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end > 0 else text


def _read(path: Path, cut: bool = False) -> dict[str, str]:
    """The texts so far by prompt; a last line that a killed writer left half done does not count, and is cut off on request."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if cut and whole < len(content):
        os.truncate(path, whole)
    entries = map(json.loads, content[:whole].splitlines())
    return {entry["prompt"]: entry["text"] for entry in entries}


@lru_cache(maxsize=1)
def open_decoder(name: str) -> torch.nn.Module:
    """A causal language model, ready to write or to be asked for likelihoods."""
    from laser_core.device import torch_device

    device = torch_device()
    return backbones.load_decoder(name, backbones.precision("auto", device), device)
