"""Athlete detection: a box, a role and a shirt number for everybody in the frame.

Features -> DETR decoder -> one object per query. Queries are matched to the annotated people of the
frame; matched queries learn box, role and number, all queries learn whether they are somebody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from soccermaster.metrics.detection import AthletesMetrics
from soccermaster.models.detr_decoder import DetrDecoder
from soccermaster.ops.boxes import cxcywh_to_xyxy, generalized_box_iou, xyxy_to_cxcywh
from soccermaster.ops.distributed import mean_count
from soccermaster.ops.losses import masked_cross_entropy, sigmoid_focal_loss
from soccermaster.ops.matching import match
from soccermaster.structures import AthletesPrediction, Batch, Features
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

NO_ROLE = len(ROLES)
NO_TENS, NO_UNITS = 9, 10

PAPER_TERM_WEIGHTS = {
    "object": 2.0,
    "box": 5.0,
    "giou": 2.0,
    "role": 2.0,
    "number": 1.0,
    "tens": 1.0,
    "units": 1.0,
}


@dataclass(frozen=True)
class AthletesOutput:
    """Of the last decoder layer; `earlier` holds the layers before it, for auxiliary losses."""

    logits: Float[Tensor, "B T Q 1"]
    boxes_cxcywh: Float[Tensor, "B T Q 4"]  # in [0, 1]
    role_logits: Float[Tensor, "B T Q 6"]
    number_logits: Float[Tensor, "B T Q 101"]
    tens_logits: Float[Tensor, "B T Q 10"]  # 1..9, then none
    units_logits: Float[Tensor, "B T Q 11"]  # 0..9, then none
    embeddings: Float[Tensor, "B T Q C"]
    earlier: tuple[AthletesOutput, ...] = ()


class AthleteDetection(Task):
    """Boxes, roles and shirt numbers.

    Args:
        embed_dim: D of the encoder.
        hidden_dim, num_queries, num_layers, num_heads, num_points, ffn_dim, query_init,
            initial_size: of the decoder, see `DetrDecoder`; the defaults are the published shape.
        auxiliary_losses: teach every decoder layer, not the last alone.
        detect_ball: learn the ball as one more person with role "ball".
        number_rule: whose number counts. "paper": players with a legible number; "official":
            anybody with a legible number (the released code). None: that of the recipe.
        term_weights: of the loss terms; None takes the paper's.
        lr: learning rate of the head.
        max_detections: predictions kept per frame.
        recipe: "corrected": role and number learn on matched queries alone, by softmax
            cross-entropy averaged over the known labels, and an unknown label teaches nothing.
            "official": they learn by the sigmoid focal loss over all queries, divided by the number
            of people; the target of a query that is matched to nobody is all zeros, so that some
            280 background queries per frame drown the few people, and an unknown label is trained
            as "none". Objects and boxes are the same in both. Scores of role and number are a
            softmax or a sigmoid accordingly.
        feature_levels: resolutions of the maps that queries look at, relative to the patch grid;
            see `DetrDecoder`.

    Source: SoccerMaster (CVPR 2026), athlete detection head.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"boxes"})
    reads: ClassVar[frozenset[str]] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        hidden_dim: int = 256,
        num_queries: int = 300,
        num_layers: int = 1,
        num_heads: int = 1,
        num_points: int = 4,
        ffn_dim: int = 1024,
        query_init: Literal["learned", "tokens"] = "learned",
        initial_size: tuple[float, float] = (0.1192, 0.1192),
        auxiliary_losses: bool = True,
        detect_ball: bool = False,
        number_rule: Literal["paper", "official"] | None = None,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        max_detections: int = 100,
        recipe: Recipe = "corrected",
        feature_levels: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__(PAPER_TERM_WEIGHTS if term_weights is None else term_weights, lr, recipe)
        if number_rule is None:
            number_rule = "official" if recipe == "official" else "paper"
        if number_rule not in ("paper", "official"):
            raise ValueError(f"expected number_rule 'paper' or 'official', got '{number_rule}'")
        self.auxiliary_losses = auxiliary_losses
        self.detect_ball = detect_ball
        self.number_rule = number_rule
        self.max_detections = max_detections
        self.decoder = DetrDecoder(
            embed_dim,
            hidden_dim,
            num_queries,
            num_layers,
            num_heads,
            num_points,
            ffn_dim,
            query_init,
            tuple(initial_size),
            tuple(feature_levels),
        )
        self.object = nn.Linear(hidden_dim, 1)
        self.role = nn.Linear(hidden_dim, NO_ROLE + 1)
        self.number = nn.Linear(hidden_dim, NO_NUMBER + 1)
        self.tens = nn.Linear(hidden_dim, NO_TENS + 1)
        self.units = nn.Linear(hidden_dim, NO_UNITS + 1)
        for head in (self.object, self.role, self.number, self.tens, self.units):
            nn.init.constant_(head.bias, -4.595)  # a prior of 1 % for focal losses

    def forward(self, features: Features, batch: Batch | None = None) -> AthletesOutput:
        """Detect in every frame by itself."""
        clips = features.patches.shape[0]
        h, w = features.grid
        maps = rearrange(features.patches, "B T (h w) D -> (B T) D h w", h=h, w=w)
        embeddings, boxes = self.decoder(maps)
        layers: list[AthletesOutput] = []
        for embedding, box in zip(embeddings, boxes, strict=True):
            e = rearrange(embedding, "(B T) Q C -> B T Q C", B=clips)
            layers.append(
                AthletesOutput(
                    logits=self.object(e),
                    boxes_cxcywh=rearrange(box, "(B T) Q xywh -> B T Q xywh", B=clips),
                    role_logits=self.role(e),
                    number_logits=self.number(e),
                    tens_logits=self.tens(e),
                    units_logits=self.units(e),
                    embeddings=e,
                    earlier=tuple(layers),
                )
            )
        return layers[-1]

    def loss(self, output: AthletesOutput, batch: Batch) -> dict[str, Tensor]:
        """Object, box and GIoU per annotated person; role and number per known one.

        `object` is summed over queries and frames, `box` and `giou` over people; the three are
        divided by the number of people in the batch (with several processes: by the mean over
        them, as in DETR). With several decoder layers the terms are the
        sum over the layers.
        """
        targets = make_targets(batch, self.detect_ball, self.number_rule)
        return self.loss_of(output, targets, batch.frame_mask)

    def loss_of(
        self, output: AthletesOutput, targets: AthleteTargets, frame_mask: Bool[Tensor, "B T"]
    ) -> dict[str, Tensor]:
        """`loss`, with targets that are made already."""
        layers = (*output.earlier, output) if self.auxiliary_losses else (output,)
        totals: dict[str, Tensor] = {}
        for layer in layers:
            for name, term in self._layer_loss(layer, targets, frame_mask).items():
                totals[name] = totals[name] + term if name in totals else term
        return totals

    def _layer_loss(
        self, output: AthletesOutput, targets: AthleteTargets, frame_mask: Bool[Tensor, "B T"]
    ) -> dict[str, Tensor]:
        flat = "B T Q c -> (B T) Q c"
        logits = rearrange(output.logits, flat)
        boxes = rearrange(output.boxes_cxcywh, flat)
        people, queries = match(matching_cost(logits, boxes, targets), targets.frame)
        frames = targets.frame[people]
        count = mean_count(len(targets.boxes_cxcywh), logits.device)

        real = frame_mask.reshape(-1, 1, 1)
        is_object = torch.zeros_like(logits)
        is_object[frames, queries] = 1
        focal = sigmoid_focal_loss(logits, is_object) * real
        matched = boxes[frames, queries]
        wanted = targets.boxes_cxcywh[people]
        giou = generalized_box_iou(cxcywh_to_xyxy(matched), cxcywh_to_xyxy(wanted))
        terms = {
            "object": focal.sum() / count,
            "box": (matched - wanted).abs().sum() / count,
            "giou": (1 - giou).sum() / count,
        }
        for name, wanted_class in (
            ("role", targets.roles),
            ("number", targets.numbers),
            ("tens", targets.tens),
            ("units", targets.units),
        ):
            scores = rearrange(getattr(output, f"{name}_logits"), flat)
            classes = wanted_class[people]
            if self.recipe == "official":
                none = scores.shape[-1] - 1
                one_hot = torch.zeros_like(scores)
                one_hot[frames, queries, torch.where(classes == UNKNOWN, none, classes)] = 1
                terms[name] = (sigmoid_focal_loss(scores, one_hot) * real).sum() / count
            else:
                rows = scores[frames, queries]
                terms[name] = masked_cross_entropy(rows, classes, classes != UNKNOWN)
        return terms

    @torch.no_grad()
    def decode(
        self, output: AthletesOutput, batch: Batch | None = None
    ) -> list[AthletesPrediction]:
        """The best `max_detections` of every frame, best first, without a score cut."""
        all_scores = output.logits.flatten(0, 1)[..., 0].sigmoid()
        scores, keep = all_scores.topk(min(self.max_detections, all_scores.shape[1]))
        boxes = cxcywh_to_xyxy(output.boxes_cxcywh.flatten(0, 1)).clamp(0, 1)
        role_scores, roles = self._probabilities(output.role_logits).max(-1)
        number_scores, numbers = self._probabilities(output.number_logits).max(-1)
        roles = torch.where(roles == NO_ROLE, UNKNOWN, roles)
        return [
            AthletesPrediction(
                boxes_xyxy_norm=boxes[f, keep[f]],
                scores=scores[f],
                roles=roles[f, keep[f]],
                role_scores=role_scores[f, keep[f]],
                numbers=numbers[f, keep[f]],
                number_scores=number_scores[f, keep[f]],
            )
            for f in range(len(scores))
        ]

    def _probabilities(self, logits: Float[Tensor, "B T Q c"]) -> Float[Tensor, "F Q c"]:
        flat = logits.flatten(0, 1).float()
        return flat.sigmoid() if self.recipe == "official" else flat.softmax(-1)

    def make_metrics(self) -> AthletesMetrics:
        """AP and attribute accuracies."""
        return AthletesMetrics()


@dataclass(frozen=True)
class AthleteTargets:
    """What the matched queries should say, one row per person; -1 teaches nothing."""

    frame: Int[Tensor, " M"]
    boxes_cxcywh: Float[Tensor, "M 4"]
    roles: Int[Tensor, " M"]
    numbers: Int[Tensor, " M"]
    tens: Int[Tensor, " M"]
    units: Int[Tensor, " M"]


@torch.no_grad()
def matching_cost(
    logits: Float[Tensor, "F Q 1"], boxes: Float[Tensor, "F Q 4"], targets: AthleteTargets
) -> Float[Tensor, "M Q"]:
    """What it costs to match each person with each query of the same frame.

    2 * focal classification cost + 5 * L1 + 2 * (-GIoU), without attributes. Only real pairs are
    computed, one coordinate at a time, so that everything is a plain (M, Q) table.
    """
    p = logits.float()[..., 0].sigmoid()
    found = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
    missed = 0.75 * p**2 * -(1 - p + 1e-8).log()
    per_query = torch.cat([(2 * (found - missed)).unsqueeze(1), boxes.float().mT], dim=1)
    base, *queries = per_query.index_select(0, targets.frame).unbind(1)  # (M, Q) each
    people = targets.boxes_cxcywh.float().unsqueeze(-1).unbind(1)  # (M, 1) each
    cost = base.clone()
    for q, t in zip(queries, people, strict=True):
        cost.add_((q - t).abs_(), alpha=5)
    return cost.sub_(_giou_table(queries, people), alpha=2)


def _giou_table(
    a: Sequence[Float[Tensor, "M Q"]], b: Sequence[Float[Tensor, "M 1"]]
) -> Float[Tensor, "M Q"]:
    """GIoU of boxes given as cx, cy, w, h apart."""
    overlap, hull = [], []
    for centre, size in ((0, 2), (1, 3)):
        a_low = torch.add(a[centre], a[size], alpha=-0.5)
        a_high = torch.add(a[centre], a[size], alpha=0.5)
        b_low, b_high = b[centre] - b[size] / 2, b[centre] + b[size] / 2
        inner = torch.minimum(a_high, b_high).sub_(torch.maximum(a_low, b_low))
        overlap.append(inner.clamp_(min=0))
        hull.append(torch.maximum(a_high, b_high, out=a_high).sub_(torch.minimum(a_low, b_low)))
    intersection, enclosing = overlap[0].mul_(overlap[1]), hull[0].mul_(hull[1])
    union = (a[2] * a[3]).add_(b[2] * b[3]).sub_(intersection)
    iou = intersection.div_(union + 1e-9)
    return iou.sub_((enclosing - union).div_(enclosing.add_(1e-9)))


def make_targets(
    batch: Batch, detect_ball: bool, number_rule: Literal["paper", "official"]
) -> AthleteTargets:
    """Annotated people -> targets in fractions of the frame, without those of padding frames."""
    if batch.athletes is None:
        raise ValueError(
            f"expected a batch with athletes, got none from '{batch.source}' "
            f"(provides {sorted(batch.provides)})"
        )
    people = batch.athletes
    keep = batch.frame_mask.flatten()[people.frame]
    if not detect_ball:
        keep = keep & (people.roles != ROLES.index("ball"))
    people = people.select(keep)
    height, width = batch.image_size
    size = people.boxes_xyxy_px.new_tensor([width, height, width, height])
    numbers = people.readable_numbers(number_rule)
    has_number = (numbers >= 0) & (numbers < NO_NUMBER)
    tens = torch.where(has_number & (numbers >= 10), numbers // 10 - 1, NO_TENS)
    units = torch.where(has_number, numbers % 10, NO_UNITS)
    return AthleteTargets(
        frame=people.frame,
        boxes_cxcywh=xyxy_to_cxcywh(people.boxes_xyxy_px / size),
        roles=people.roles,
        numbers=numbers,
        tens=torch.where(numbers == UNKNOWN, UNKNOWN, tens),
        units=torch.where(numbers == UNKNOWN, UNKNOWN, units),
    )
