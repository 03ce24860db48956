"""Association: who of this frame is who of the frames before, as a classification.

Given boxes -> features of the patches under each box -> tokens with an identity each -> for every
box the slot of the identity that it continues, or "newborn". Slots are handed out anew in every
clip (in-context identities), so nobody in particular is learnt by heart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from soccermaster.metrics.identity import IdentityMetrics
from soccermaster.models.id_decoder import IdentityDecoder, ObjectTokens
from soccermaster.ops.boxes import xyxy_to_cxcywh
from soccermaster.ops.losses import masked_cross_entropy
from soccermaster.structures import Athletes, Batch, Features, IdentityPrediction
from soccermaster.tasks.base import Recipe, Task
from soccermaster.vocabulary import ROLES, UNKNOWN

# Points of a box at which patches are read, columns and rows.
_POINTS = (2, 4)
# Log-probability of what is not possible.
_NEVER = -1e4
_BALL = ROLES.index("ball")


@dataclass(frozen=True)
class AssociationOutput:
    """Objects of the clips, with the slots that they were taught by.

    `logits` see the true past; at prediction time `Association.follow` makes its own past.
    """

    tokens: ObjectTokens
    boxes_xyxy_norm: Float[Tensor, "B n 4"]
    logits: Float[Tensor, "B n K+1"]
    targets: Int[Tensor, "B n"]  # a slot, or K for newborn; -1 teaches nothing


class Association(Task):
    """Identities of given boxes.

    Where the boxes of a batch come from does not matter: annotations teach, and any detector's
    boxes (as `batch.athletes`) can be followed.

    Args:
        embed_dim: D of the encoder.
        object_dim: C; tokens are twice as wide.
        num_slots: most identities that are remembered at once.
        depth: layers of the decoder.
        box_noise: in training, how far boxes are moved, in fractions of their height.
        occlusion: in training, the chance that a track is not seen for a while.
        switch: in training, the chance that the past of a clip confuses two tracks in one frame.
        false_boxes: in training, how many boxes per frame are added that are nobody; each is
            newborn, and remembered.
        newborn_weight: what the probability of "newborn" counts in comparison with that of an
            identity, when identities are handed out; below 1, tracks are continued more readily.
        memory: frames after which who was not seen is forgotten.
        term_weights: of the loss terms (`identity`).
        lr: learning rate of the head.
        recipe: both are the same here: mean cross-entropy.

    Source: Gao et al., MOTIP, CVPR 2025; used by SoccerMaster (CVPR 2026) downstream. Ours: the
        first frame, whose people are all newborn, teaches as well.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"boxes", "track_ids"})
    reads: ClassVar[frozenset[str]] = frozenset({"patches"})

    def __init__(
        self,
        embed_dim: int,
        object_dim: int = 256,
        num_slots: int = 50,
        depth: int = 6,
        box_noise: float = 0.03,
        occlusion: float = 0.5,
        switch: float = 0.5,
        false_boxes: float = 0.3,
        newborn_weight: float = 0.15,
        memory: int = 30,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__(term_weights, lr, recipe)
        self.box_noise, self.occlusion, self.switch = box_noise, occlusion, switch
        self.false_boxes = false_boxes
        self.newborn_weight, self.memory = newborn_weight, memory
        self.look = nn.Sequential(
            nn.Linear(_POINTS[0] * _POINTS[1] * embed_dim, object_dim),
            nn.GELU(),
            nn.Linear(object_dim, object_dim),
        )
        self.decoder = IdentityDecoder(object_dim, num_slots, depth)

    def forward(self, features: Features, batch: Batch | None = None) -> AssociationOutput:
        """Tokens of the boxes of the batch; without boxes there is nobody to follow."""
        clips, frames = features.patches.shape[:2]
        device = features.patches.device
        rows = self._rows(batch, device)
        clip, time = rows.frame // frames, rows.frame % frames
        counts = torch.bincount(clip, minlength=clips)
        size = max(1, int(counts.max()))
        place = torch.arange(len(rows), device=device) - (counts.cumsum(0) - counts)[clip]

        def pad(values: Tensor, fill: float) -> Tensor:
            table = values.new_full((clips, size, *values.shape[1:]), fill)
            table[clip, place] = values
            return table

        height, width = (1, 1) if batch is None else batch.image_size
        boxes = rows.boxes_xyxy_px / rows.boxes_xyxy_px.new_tensor([width, height] * 2)
        if self.training:
            boxes = boxes + self._box_noise(boxes, width / height)
        objects = self.look(sample_patches(features, boxes, rows.frame))
        in_heights = xyxy_to_cxcywh(boxes) * boxes.new_tensor([width / height, 1] * 2)
        tracks = pad(rows.track_ids, UNKNOWN)
        tokens = ObjectTokens(
            objects=pad(objects, 0.0),
            boxes_cxcywh=pad(in_heights, 0.0),
            time=pad(time.to(objects.dtype), -1.0),
            slots=torch.full_like(tracks, self.decoder.num_slots),
            valid=pad(torch.ones_like(clip, dtype=torch.bool), False),
        )
        tokens, targets = self._teach(tokens, tracks)
        past = self._confuse(tokens) if self.training else tokens
        return AssociationOutput(tokens, pad(boxes, 0.0), self.decoder(tokens, past), targets)

    def loss(self, output: AssociationOutput, batch: Batch) -> dict[str, Tensor]:
        """`identity`: mean cross-entropy over the boxes with a track."""
        logits, targets = output.logits.flatten(0, 1), output.targets.flatten()
        return {"identity": masked_cross_entropy(logits, targets, targets != UNKNOWN)}

    @torch.no_grad()
    def decode(
        self, output: AssociationOutput, batch: Batch | None = None
    ) -> list[IdentityPrediction]:
        """Identities, frame by frame and clip by clip, following the model's own past.

        Rows of a frame come in the order of `batch.athletes`, without balls. Ids count from 1 in
        every clip.
        """
        frames = 1 if batch is None else batch.num_frames
        if batch is None and bool(output.tokens.valid.any()):
            raise ValueError("expected the batch that the boxes came from, got none")
        predictions = []
        for clip in range(len(output.targets)):
            tokens = _select(output.tokens, clip, output.tokens.valid[clip])
            boxes = output.boxes_xyxy_norm[clip, output.tokens.valid[clip]]
            ids = self.follow(tokens)
            for t in range(frames):
                mine = tokens.time[0] == t
                predictions.append(IdentityPrediction(boxes[mine], ids[mine]))
        return predictions

    @torch.no_grad()
    def follow(self, tokens: ObjectTokens) -> Int[Tensor, " n"]:
        """Track ids of the objects of one clip, from the first frame to the last.

        In every frame each object is given a slot in use, one to one, or is newborn: whatever has
        the greatest joint probability. Who is newborn takes a free slot, or that of whoever was not
        seen for longest. An object beyond the number of slots in
        one frame gets an id and is not remembered.
        """
        num_slots = self.decoder.num_slots
        time = tokens.time[0]
        ids = torch.full_like(tokens.slots[0], UNKNOWN)
        slots = torch.full_like(ids, num_slots)
        id_of_slot = [0] * num_slots
        last_seen = [float("-inf")] * num_slots
        newest = 0
        for now in time.unique().tolist():
            rows = (time == now).nonzero().flatten()
            recent = (time < now) & (time >= now - self.memory) & (slots < num_slots)
            known = [s for s in range(num_slots) if last_seen[s] >= now - self.memory]
            past = _select(dataclasses.replace(tokens, slots=slots[None]), 0, recent)
            present = _select(tokens, 0, rows)
            if known:
                scores = self.decoder(present, past)[0].float().log_softmax(-1).cpu()
                alone = torch.full((len(rows), len(rows)), _NEVER)
                alone.fill_diagonal_(0.0)
                alone += scores[:, num_slots:] + math.log(self.newborn_weight)
                table = torch.cat([scores[:, known].clamp(min=_NEVER / 2), alone], dim=1)
                for row, column in zip(*linear_sum_assignment(table, maximize=True), strict=True):
                    if column < len(known):
                        slots[rows[row]] = known[column]
            for slot in slots[rows][slots[rows] < num_slots].tolist():
                last_seen[slot] = now
            for row in rows.tolist():
                if slots[row] < num_slots:
                    ids[row] = id_of_slot[slots[row]]
                    continue
                newest += 1
                ids[row] = newest
                slot = min(range(num_slots), key=last_seen.__getitem__)
                if last_seen[slot] < now:  # else nobody can be forgotten for this one
                    slots[row], id_of_slot[slot], last_seen[slot] = slot, newest, now
        return ids

    def make_metrics(self) -> IdentityMetrics:
        """HOTA, AssA, MOTA and IDF1."""
        return IdentityMetrics()

    def _rows(self, batch: Batch | None, device: torch.device) -> Athletes:
        """People in real frames."""
        if batch is None or batch.athletes is None:
            nobody = Athletes.from_boxes([], [])
            return Athletes(
                **{name: torch.as_tensor(v, device=device) for name, v in vars(nobody).items()}
            )
        people = batch.athletes
        real = batch.frame_mask.flatten()[people.frame]
        people = people.select(real & (people.roles != _BALL))
        return self._with_false_boxes(people, batch) if self.training else people

    def _with_false_boxes(self, people: Athletes, batch: Batch) -> Athletes:
        """Some boxes more, of the size of others and anywhere, each with a track of its own."""
        chosen = (
            (
                torch.rand(len(people)) * len(people)
                < self.false_boxes * len(batch.images) * batch.num_frames
            )
            .nonzero()
            .flatten()
            .to(people.frame.device)
        )
        false = people.select(chosen)
        height, width = batch.image_size
        size = false.boxes_xyxy_px[:, 2:] - false.boxes_xyxy_px[:, :2]
        room = (size.new_tensor([width, height]) - size).clamp(min=0)
        corner = torch.rand_like(size) * room
        first = int(people.track_ids.max()) + 1 if len(people) else 0
        false = dataclasses.replace(
            false,
            boxes_xyxy_px=torch.cat([corner, corner + size], dim=1),
            track_ids=first + torch.arange(len(false), device=people.frame.device),
        )
        both = {n: torch.cat([value, getattr(false, n)]) for n, value in vars(people).items()}
        order = both["frame"].argsort(stable=True)
        return Athletes(**both).select(order)

    def _box_noise(self, boxes: Float[Tensor, "n 4"], aspect: float) -> Float[Tensor, "n 4"]:
        height = (boxes[:, 3:] - boxes[:, 1:2]) * boxes.new_tensor([1 / aspect, 1] * 2)
        return torch.randn_like(boxes) * self.box_noise * height

    def _teach(
        self, tokens: ObjectTokens, tracks: Int[Tensor, "B n"]
    ) -> tuple[ObjectTokens, Int[Tensor, "B n"]]:
        """Slots of the tracks, in a random order while training, and what to say of each token."""
        num_slots, slots = self.decoder.num_slots, tokens.slots.clone()
        valid = tokens.valid.clone()
        targets = torch.full_like(slots, UNKNOWN)
        for clip in range(len(tracks)):
            known = torch.unique(tracks[clip][tracks[clip] != UNKNOWN])
            order = torch.randperm(num_slots) if self.training else torch.arange(num_slots)
            if self.training:
                known = known[torch.randperm(len(known), device=known.device)]
            for track, slot in zip(known.tolist(), order.tolist(), strict=False):
                mine = tracks[clip] == track
                if self.training and torch.rand(()) < self.occlusion:
                    valid[clip] &= ~(mine & self._hidden(tokens.time[clip]))
                mine = mine & valid[clip]
                if not mine.any():
                    continue
                slots[clip, mine] = slot
                first = tokens.time[clip][mine].min()
                targets[clip, mine] = slot
                targets[clip, mine & (tokens.time[clip] == first)] = self.decoder.newborn
        return dataclasses.replace(tokens, slots=slots, valid=valid), targets

    def _hidden(self, time: Float[Tensor, " n"]) -> Tensor:
        """A random span of the clip."""
        last = float(time.max()) + 1
        start, length = torch.rand(2).tolist()
        start *= last
        return (time >= start) & (time < start + length * last)

    def _confuse(self, tokens: ObjectTokens) -> ObjectTokens:
        """In some clips the past gives two tracks each other's slot, in one frame."""
        slots = tokens.slots.clone()
        for clip in range(len(slots)):
            if torch.rand(()) >= self.switch:
                continue
            usable = tokens.valid[clip] & (slots[clip] < self.decoder.num_slots)
            rows = usable.nonzero().flatten()
            if len(rows) < 2:
                continue
            one = rows[torch.randint(len(rows), ())]
            others = rows[(tokens.time[clip, rows] == tokens.time[clip, one]) & (rows != one)]
            if len(others):
                pair = torch.stack([one, others[torch.randint(len(others), ())]])
                slots[clip, pair] = slots[clip, pair.flip(0)]
        return dataclasses.replace(tokens, slots=slots)


def sample_patches(
    features: Features, boxes_xyxy_norm: Float[Tensor, "n 4"], frame: Int[Tensor, " n"]
) -> Float[Tensor, "n P*D"]:
    """Patches under some points of each box, side by side.

    Args:
        features: with patches.
        boxes_xyxy_norm: in fractions of the frame.
        frame: of each box, counted through all frames of all clips.
    """
    h, w = features.grid
    columns, rows = _POINTS
    device = boxes_xyxy_norm.device
    y, x = torch.meshgrid(
        (torch.arange(rows, device=device) + 0.5) / rows,
        (torch.arange(columns, device=device) + 0.5) / columns,
        indexing="ij",
    )
    inside = torch.stack([x, y], dim=-1).flatten(0, 1)  # (P, 2)
    low, size = boxes_xyxy_norm[:, None, :2], (boxes_xyxy_norm[:, 2:] - boxes_xyxy_norm[:, :2])
    points = (low + inside * size[:, None]) * 2 - 1
    if not len(frame):
        return features.patches.new_zeros(0, len(inside) * features.patches.shape[-1])
    maps = rearrange(features.patches, "B T (h w) D -> (B T) D h w", h=h, w=w)
    counts = torch.bincount(frame, minlength=len(maps))
    place = torch.arange(len(frame), device=device) - (counts.cumsum(0) - counts)[frame]
    table = points.new_zeros(len(maps), int(counts.max()), len(inside), 2)
    table[frame, place] = points
    sampled = F.grid_sample(maps, table.to(maps), align_corners=False, padding_mode="border")
    return rearrange(sampled, "F D m P -> F m (P D)")[frame, place]


def _select(tokens: ObjectTokens, clip: int, rows: Tensor) -> ObjectTokens:
    """Some tokens of one clip, as a batch of one."""
    return ObjectTokens(**{name: value[clip, rows][None] for name, value in vars(tokens).items()})
