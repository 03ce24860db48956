"""Which words a clip's comment has: a classifier over the vocabulary that learns from every clip.

A contrastive loss tells a clip apart from the others of its batch, so in a small batch few of its
words matter. Asking for the words themselves gives each clip a target of its own.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from soccermaster.ops.distributed import mean_count, num_processes


class WordPrediction(nn.Module):
    """A distribution over the vocabulary from a vector.

    Args:
        embed_dim: of the vectors.
        vocab_size: V, of the tokenizer.
        pad_id: the token that is no word.

    Source: Huang et al., Classification Done Right for Vision-Language Pre-Training, NeurIPS 2024.
    """

    def __init__(self, embed_dim: int, vocab_size: int, pad_id: int) -> None:
        super().__init__()
        self.classify = nn.Linear(embed_dim, vocab_size)
        self.pad_id = pad_id
        self.register_buffer("texts_with_word", torch.zeros(vocab_size, dtype=torch.long))
        self.register_buffer("num_texts", torch.zeros((), dtype=torch.long))

    def forward(self, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Logits of the words."""
        return self.classify(vectors)

    def loss(self, logits: Float[Tensor, "N V"], ids: Int[Tensor, "N L"]) -> Float[Tensor, ""]:
        """Cross-entropy with the words of each text, averaged over the texts of all processes.

        A word weighs as much as it is rare (inverse document frequency, counted over the texts
        seen in training); the weights of a text sum to 1. Repeated words count once.
        """
        present = torch.zeros(logits.shape, device=logits.device)
        present.scatter_(1, ids, 1.0)
        present[:, self.pad_id] = 0
        if self.training:
            self._count(present.detach(), everywhere=num_processes() > 1)
        rarity = torch.log((self.num_texts + 1) / (self.texts_with_word + 1).float())
        weight = present * rarity.clamp(min=0)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        with torch.autocast(logits.device.type, enabled=False):
            summed = -(weight * logits.float().log_softmax(-1)).sum()
        return summed / mean_count(len(ids), logits.device)

    @torch.no_grad()
    def _count(self, present: Float[Tensor, "N V"], everywhere: bool) -> None:
        seen = torch.cat([present.sum(0), present.new_tensor([len(present)])]).long()
        if everywhere:
            dist.all_reduce(seen)
        self.texts_with_word += seen[:-1]
        self.num_texts += seen[-1]
