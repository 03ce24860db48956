"""How good are generated comments, and do they say what is in the video?

BLEU, ROUGE-L and CIDEr are those of pycocoevalcap, METEOR is nltk's; both packages are in the
extra `commentary`, and neither needs Java for these. Texts are lower-cased and split into words
without punctuation, as the tokenizer of the captioning benchmarks does.

Numbers of different implementations are not the same. CIDEr here is CIDEr-D, from 0 to 10; papers
often print 100 times that. METEOR here knows equal words and equal stems, no synonyms; `meteor_1_5`
is the program that papers use, and needs Java.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from soccermaster.metrics.samples import (
    UNDEFINED,
    SampleMetric,
    check_batch,
    clip_keys,
    first_of_each,
    ratio,
)
from soccermaster.structures import Batch, CommentaryPrediction

_WORD = re.compile(r"\[\w+\]|\w+(?:['’-]\w+)*")


class CommentaryMetrics(SampleMetric):
    """Scores over the clips that have a comment.

    `cider_shuffled` is CIDEr where every comment was generated from the video of another clip, and
    `cider_ratio` how many times better the right video is: near 1, the video does not matter.
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        """No clips yet.

        Args:
            seed: of the order in which videos are exchanged.
            **kwargs: of torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.seed = seed
        self.add_table("keys")
        for name in ("candidate", "reference"):
            self.add_table(f"{name}_bytes", dtype=torch.uint8)
            self.add_table(f"{name}_lengths")

    def update(self, predictions: list[CommentaryPrediction], batch: Batch) -> None:
        """Add the clips of one batch.

        Args:
            predictions: one per clip.
            batch: with clip ids and texts.
        """
        check_batch(self, predictions, batch, ("clip_ids", "texts"), len(batch.images))
        keys = clip_keys(batch)
        for key, prediction, reference in zip(keys, predictions, batch.texts, strict=True):
            if reference is None:
                continue
            self.append("keys", [key])
            for name, text in (("candidate", prediction.text), ("reference", reference)):
                encoded = list(text.encode("utf-8"))
                self.append(f"{name}_bytes", encoded)
                self.append(f"{name}_lengths", [len(encoded)])

    def compute(self) -> dict[str, float]:
        """`caption_scores`, and what is left of CIDEr when the videos are exchanged."""
        rows = first_of_each(self.table("keys"))
        candidates, references = (self._texts(name) for name in ("candidate", "reference"))
        order = sorted(rows.tolist(), key=lambda row: int(self.table("keys")[row]))
        candidates = [candidates[i] for i in order]
        references = [references[i] for i in order]
        scores = caption_scores(candidates, references)
        shuffled = cider(exchanged(candidates, self.seed), references)
        return scores | {
            "cider_shuffled": shuffled,
            "cider_ratio": ratio(scores["cider"], shuffled),
        }

    def _texts(self, name: str) -> list[str]:
        data = bytes(self.table(f"{name}_bytes").tolist())
        ends = self.table(f"{name}_lengths").cumsum(0).tolist()
        return [
            data[start:end].decode("utf-8") for start, end in zip([0, *ends], ends, strict=False)
        ]


def caption_scores(candidates: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Scores of some comments with one reference each; NaN without any.

    Returns:
        `bleu_1` and `bleu_4` of all comments together, `meteor` and `rouge_l` as means, all from 0
        to 1; `cider` from 0 to 10.

    Raises:
        ValueError: not one reference each, or a package is missing.

    Source: Papineni et al., BLEU, ACL 2002; Banerjee and Lavie, METEOR, 2005; Lin, ROUGE, 2004;
        Vedantam et al., CIDEr, CVPR 2015.
    """
    pairs = _pairs(candidates, references)
    bleu = _package("pycocoevalcap.bleu.bleu_scorer").BleuScorer(n=4)
    rouge = _package("pycocoevalcap.rouge.rouge").Rouge()
    stems = _package("nltk.translate.meteor_score").single_meteor_score
    if not pairs:
        return dict.fromkeys(("bleu_1", "bleu_4", "meteor", "rouge_l", "cider"), UNDEFINED)
    for candidate, reference in pairs:
        bleu += (" ".join(candidate), [" ".join(reference)])
    together, _ = bleu.compute_score(option="closest", verbose=0)
    return {
        "bleu_1": float(together[0]),
        "bleu_4": float(together[3]),
        "meteor": float(np.mean([stems(r, c, wordnet=_NoSynonyms()) for c, r in pairs])),
        "rouge_l": float(
            np.mean([rouge.calc_score([" ".join(c)], [" ".join(r)]) for c, r in pairs])
        ),
        "cider": cider(candidates, references),
    }


def cider(candidates: Sequence[str], references: Sequence[str]) -> float:
    """CIDEr-D, 0 to 10; words are weighed by how few of the references have them.

    With fewer than two references no word is rarer than another, and the score is NaN.

    Raises:
        ValueError: not one reference each, or a package is missing.

    Source: Vedantam et al., CIDEr: Consensus-based Image Description Evaluation, CVPR 2015.
    """
    scorer = _package("pycocoevalcap.cider.cider_scorer").CiderScorer()
    pairs = _pairs(candidates, references)
    if len(pairs) < 2:
        return UNDEFINED
    for candidate, reference in pairs:
        scorer += (" ".join(candidate), [" ".join(reference)])
    mean, _ = scorer.compute_score()
    return float(mean)


def meteor_1_5(candidates: Sequence[str], references: Sequence[str]) -> float:
    """METEOR 1.5 with stems, synonyms and paraphrases, 0 to 1: the Java program that papers use.

    Raises:
        ValueError: Java or a package is missing, or not one reference each.

    Source: Denkowski and Lavie, Meteor Universal, WMT 2014.
    """
    if shutil.which("java") is None:
        raise ValueError(
            "METEOR 1.5 is a Java program, and there is no 'java' on the PATH. Install a Java "
            "runtime, or use the 'meteor' of caption_scores, which knows no synonyms."
        )
    pairs = _pairs(candidates, references)
    if not pairs:
        return UNDEFINED
    program = _package("pycocoevalcap.meteor.meteor").Meteor()
    score, _ = program.compute_score(
        {i: [" ".join(r)] for i, (_, r) in enumerate(pairs)},
        {i: [" ".join(c)] for i, (c, _) in enumerate(pairs)},
    )
    return float(score)


def exchanged(candidates: Sequence[str], seed: int) -> list[str]:
    """The same comments, none in its place: each goes to the next clip of a shuffled circle."""
    circle = np.random.default_rng(seed).permutation(len(candidates))
    moved = list(candidates)
    for place, origin in zip(circle, np.roll(circle, 1), strict=True):
        moved[place] = candidates[origin]
    return moved


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; [PLAYER] and its like are words."""
    return _WORD.findall(text.lower())


def _pairs(
    candidates: Sequence[str], references: Sequence[str]
) -> list[tuple[list[str], list[str]]]:
    if len(candidates) != len(references):
        raise ValueError(
            f"expected one reference per comment, got {len(references)} references for "
            f"{len(candidates)} comments"
        )
    return [(words(c), words(r)) for c, r in zip(candidates, references, strict=True)]


def _package(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"scores of comments need the package {module.partition('.')[0]}. Install it with "
            "pip install 'soccermaster[commentary]'."
        ) from error


class _NoSynonyms:
    """In the place of nltk's WordNet, which is a download."""

    def synsets(self, word: str) -> list[Any]:
        """None."""
        return []
