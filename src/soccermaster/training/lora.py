"""Low-rank adapters in the encoder, through `peft` (extra `lora`).

They are trained in place of the encoder's weights and merged into them at the end, so that a
checkpoint needs neither this file nor `peft`, whose adapters are well kept and so not written again
here.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from soccermaster.models.encoder import VideoEncoder


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of the adapters.

    Attributes:
        rank: of the change of every adapted matrix.
        alpha: the change is scaled by alpha / rank.
        dropout: on the input of the adapters.
        layers: ends of the names of the linear layers that are adapted, such as "attention.qkv".
    """

    rank: int
    alpha: float
    dropout: float
    layers: Sequence[str]


def add_lora(encoder: VideoEncoder, settings: LoraSettings) -> None:
    """Put adapters beside linear layers of the encoder, whose own weights are frozen, in place.

    The adapters start out changing nothing.

    Raises:
        ValueError: `peft` is not installed, or no linear layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError(
            "expected the package 'peft' for low-rank adapters, found none. Install it with "
            "pip install -e '.[lora]'."
        ) from error
    names = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    unused = [end for end in settings.layers if not any(name.endswith(end) for name in names)]
    if unused or not settings.layers:
        raise ValueError(
            f"expected lora.layers to end the names of linear layers of the encoder, got {unused}. "
            f"They are {names}."
        )
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.layers),
    )
    encoder.requires_grad_(False)
    inject_adapter_in_model(config, encoder)


def merge_lora(encoder: VideoEncoder) -> None:
    """Add what the adapters learnt to the weights beside them, and remove them, in place."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(encoder.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(encoder.get_submodule(parent), child, module.get_base_layer())
    encoder.requires_grad_(True)
