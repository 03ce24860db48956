"""Causal language models that continue a prefix of vectors: any of transformers, or a small one.

    language = LanguageModel(source="meta-llama/Meta-Llama-3-8B-Instruct", adapt="lora")
    ids, real = language.tokenize(["[PLAYER] scores"], length=64)
    logits = language(prefix, ids)  # prefix (B, Q, C)
    texts = language.generate(prefix)

Language models of any width: whoever makes the prefix asks for `dim`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils import parametrize

from soccermaster.models.huggingface import find_directory
from soccermaster.models.tokenizer import ANONYMOUS_WORDS, BuiltInTokenizer
from soccermaster.models.weights import CheckpointError

Adapt = Literal["frozen", "lora"]
Decoding = Literal["nucleus", "beam", "paper"]

# Files of a tokenizer that is not in one JSON file.
_TOKENIZER_FILES = ("*.json", "*.txt", "*.model")


class LanguageModel(nn.Module):
    """A causal language model with its tokenizer.

    The anonymous words ([PLAYER], [TEAM], [COACH], [REFEREE]) are one token each. A model from
    `source` that lacks them gets a row for each in its first and last layer, which is trained, from
    the mean of the rows of its pieces. What `source` holds is not trained and not saved: a
    checkpoint has the name of the source, these rows and the LoRA.

    Args:
        source: directory of any causal language model of transformers, with its tokenizer, or its
            hub id. None: a small one with the built-in tokenizer, from scratch.
        adapt: of a model from `source`: "frozen", or "lora" (needs the package `peft`).
        lora_rank, lora_alpha, lora_dropout: of the LoRA.
        lora_targets: names of the layers with a LoRA; those that peft has for the architecture
            (often queries and values) when None.
        dim, depth, num_heads: of the small model.

    Raises:
        CheckpointError: there is no such model.
        ValueError: an unknown way to adapt it, or peft is missing.

    Source: Touvron et al., LLaMA, 2023 (shape of the small model); Hu et al., LoRA, ICLR 2022.
    """

    def __init__(
        self,
        source: Path | str | None = None,
        adapt: Adapt = "frozen",
        lora_rank: int = 16,
        lora_alpha: int = 32,
        lora_dropout: float = 0.05,
        lora_targets: Sequence[str] | None = None,
        dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        if adapt not in get_args(Adapt):
            raise ValueError(f"expected adapt among {get_args(Adapt)}, got '{adapt}'")
        if source is None:
            self.tokenizer, self.lm = _small(dim, depth, num_heads)
        else:
            self.tokenizer, self.lm = _read(find_directory(source, _TOKENIZER_FILES))
            self.lm.requires_grad_(False)
            _add_words(self.tokenizer, self.lm)
            if adapt == "lora":
                self.lm = _with_lora(self.lm, lora_rank, lora_alpha, lora_dropout, lora_targets)
        self._still = source is not None and adapt == "frozen"
        self.dim = self.lm.get_input_embeddings().weight.shape[1]
        self.vocab_size = self.lm.get_output_embeddings().weight.shape[0]
        self.end_id = self.tokenizer.eos_token_id
        first = None if source is None else self.tokenizer.bos_token_id
        self.start_ids = [] if first is None else [first]
        words = set(self.tokenizer.convert_tokens_to_ids(list(ANONYMOUS_WORDS)))
        self._marks = frozenset(self.tokenizer.all_special_ids) - words
        kept = {name for name, p in self.named_parameters() if p.requires_grad}
        self._elsewhere = frozenset() if source is None else frozenset(self.state_dict()) - kept
        self.register_state_dict_post_hook(_leave_out_source)
        self.register_load_state_dict_pre_hook(_fill_in_source)

    def train(self, mode: bool = True) -> LanguageModel:
        """Training mode, in which a frozen model keeps its dropout off."""
        super().train(mode)
        if self._still:
            self.lm.eval()
        return self

    def tokenize(
        self, texts: Sequence[str], length: int
    ) -> tuple[Int[Tensor, "n L"], Bool[Tensor, "n L"]]:
        """Token ids of some texts with an end mark each, and which of them are no padding.

        Args:
            texts: to be cut and padded.
            length: most tokens of a text, end mark included.
        """
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        rows = [[*row[: length - 1], self.end_id] for row in rows]
        ids = torch.full((len(rows), max(map(len, rows), default=0)), self.end_id)
        real = torch.zeros_like(ids, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            real[i, : len(row)] = True
        return ids, real

    def forward(
        self, prefix: Float[Tensor, "n Q C"], ids: Int[Tensor, "n L"]
    ) -> Float[Tensor, "n L V"]:
        """Scores of every token from the prefix and the tokens before it."""
        given = self._begin(prefix)
        words = self.lm.get_input_embeddings()(ids[:, :-1])
        logits = self.lm(inputs_embeds=torch.cat([given, words.to(given)], dim=1)).logits
        return logits[:, given.shape[1] - 1 :]

    @torch.no_grad()
    def generate(
        self,
        prefix: Float[Tensor, "n Q C"],
        decoding: Decoding = "nucleus",
        max_tokens: int = 128,
        top_p: float = 0.9,
        temperature: float = 0.7,
        num_beams: int = 5,
        allowed: Bool[Tensor, " V"] | None = None,
        seed: int = 0,
    ) -> list[str]:
        """One text per prefix.

        Args:
            prefix: of the texts.
            decoding: "nucleus" samples from the likeliest tokens; "beam" searches, and is
                deterministic; "paper" searches among samples, at temperature 1.
            max_tokens: most tokens of a text.
            top_p: probability of the tokens that are sampled from.
            temperature: of "nucleus".
            num_beams: of the other two.
            allowed: tokens that may be used; all when None. The end mark always may.
            seed: of the samples; the random state outside is left as it is.

        Source: Holtzman et al., The Curious Case of Neural Text Degeneration, ICLR 2020 (nucleus).
        """
        if decoding not in get_args(Decoding):
            raise ValueError(f"expected a decoding among {get_args(Decoding)}, got '{decoding}'")
        how: dict[str, Any] = {"num_beams": 1 if decoding == "nucleus" else num_beams}
        if decoding != "beam":
            how |= {"top_p": top_p, "top_k": 0}
            how["temperature"] = temperature if decoding == "nucleus" else 1.0
        if allowed is not None:
            refused = (~allowed).nonzero().flatten().tolist()
            how["suppress_tokens"] = [i for i in refused if i != self.end_id] or None
        given = self._begin(prefix)
        on_gpu = [given.device] if given.device.type == "cuda" else []
        with torch.random.fork_rng(on_gpu):
            torch.manual_seed(seed)
            rows = self.lm.generate(
                inputs_embeds=given,
                attention_mask=torch.ones(given.shape[:2], dtype=torch.long, device=given.device),
                do_sample=decoding != "beam",
                max_new_tokens=max_tokens,
                eos_token_id=self.end_id,
                pad_token_id=self.end_id,
                **how,
            )
        return [self._text(row) for row in rows.tolist()]

    def _begin(self, prefix: Float[Tensor, "n Q C"]) -> Float[Tensor, "n m C"]:
        """The prefix, and the mark that texts of this model begin with, if it has one."""
        embedding = self.lm.get_input_embeddings()
        prefix = prefix.to(embedding.weight.dtype)
        start = torch.tensor(self.start_ids, dtype=torch.long, device=prefix.device)
        return torch.cat([prefix, embedding(start).expand(len(prefix), -1, -1)], dim=1)

    def _text(self, ids: Sequence[int]) -> str:
        words = [i for i in ids if i not in self._marks]
        text = self.tokenizer.decode(words, clean_up_tokenization_spaces=False)
        return re.sub(r"\s+([.,!?:;)])", r"\1", " ".join(text.split()))


class AddedRows(nn.Module):
    """Rows of the weight of an embedding or of the last layer; its others stay as they are.

    Args:
        rows: which ones.
        values: that they start with.
    """

    def __init__(self, rows: Sequence[int], values: Float[Tensor, "n C"]) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor(list(rows)), persistent=False)
        self.values = nn.Parameter(values.float())

    def forward(self, weight: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        """The weight with these rows."""
        return weight.index_copy(0, self.rows, self.values.to(weight))


def _small(dim: int, depth: int, num_heads: int) -> tuple[Any, nn.Module]:
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    built_in = BuiltInTokenizer()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=built_in.tokenizer, eos_token="<pad>", pad_token="<pad>"
    )
    config = LlamaConfig(
        vocab_size=built_in.vocab_size,
        hidden_size=dim,
        intermediate_size=4 * dim,
        num_hidden_layers=depth,
        num_attention_heads=num_heads,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=built_in.pad_id,
        pad_token_id=built_in.pad_id,
    )
    return tokenizer, LlamaForCausalLM(config)


def _read(directory: Path) -> tuple[Any, nn.Module]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        lm = AutoModelForCausalLM.from_pretrained(directory, dtype="auto")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"expected a causal language model of transformers with its tokenizer in {directory}: "
            f"{error}"
        ) from error
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"expected a tokenizer with an end mark in {directory}, got none")
    return tokenizer, lm


def _add_words(tokenizer: Any, lm: nn.Module) -> None:
    """Give the anonymous words that the tokenizer lacks a token and trainable rows."""
    missing = [word for word in ANONYMOUS_WORDS if word not in tokenizer.get_vocab()]
    if not missing:
        return
    pieces = tokenizer(missing, add_special_tokens=False)["input_ids"]
    tokenizer.add_tokens(missing)
    if len(tokenizer) > lm.get_input_embeddings().weight.shape[0]:
        lm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        lm.requires_grad_(False)
    rows = tokenizer.convert_tokens_to_ids(missing)
    for layer in (lm.get_input_embeddings(), lm.get_output_embeddings()):
        means = torch.stack([layer.weight[ids].float().mean(0) for ids in pieces])
        parametrize.register_parametrization(layer, "weight", AddedRows(rows, means))


def _with_lora(
    lm: nn.Module, rank: int, alpha: int, dropout: float, targets: Sequence[str] | None
) -> nn.Module:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError(
            "adapt='lora' needs the package peft. Install it with pip install "
            "'soccermaster[commentary]', or take adapt='frozen'."
        ) from error
    added = [p for p in lm.parameters() if p.requires_grad]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=None if targets is None else list(targets),
    )
    lm = inject_adapter_in_model(config, lm)
    for parameter in added:  # peft freezes all but its own
        parameter.requires_grad_(True)
    return lm


def _leave_out_source(
    module: LanguageModel, state: dict[str, Tensor], prefix: str, metadata: Any
) -> None:
    for name in module._elsewhere:
        state.pop(prefix + name, None)


def _fill_in_source(
    module: LanguageModel, state: dict[str, Tensor], prefix: str, *unused: Any
) -> None:
    own = dict(module.named_parameters(remove_duplicate=False))
    own |= dict(module.named_buffers(remove_duplicate=False))
    for name in module._elsewhere:
        state.setdefault(prefix + name, own[name].detach())
