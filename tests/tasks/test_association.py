import dataclasses

import pytest
import torch

from soccermaster.models.id_decoder import IdentityDecoder, ObjectTokens, velocities
from soccermaster.structures import Athletes, Batch, Features
from soccermaster.tasks.association import Association, sample_patches

SIZE = (72, 128)


def walking(frames=8, people=4, step_px=3.0, seed=0):
    """A clip of people side by side, far apart, who walk to the right."""
    time = torch.arange(frames).repeat_interleave(people)
    who = torch.arange(people).repeat(frames)
    x = 10 + 25.0 * who + step_px * time / 3
    y = 20.0 + 5 * who
    boxes = torch.stack([x, y, x + 6, y + 18], dim=1)
    nobody = Athletes.from_boxes(time.numpy(), boxes.numpy())
    athletes = Athletes(**{name: torch.as_tensor(value) for name, value in vars(nobody).items()})
    return dataclasses.replace(athletes, track_ids=who + 5)


def batch_of(athletes, frames=8, clips=1):
    return Batch(
        images=torch.zeros(clips, frames, 3, *SIZE),
        frame_mask=torch.ones(clips, frames, dtype=torch.bool),
        athletes=athletes,
        clip_ids=tuple(str(i) for i in range(clips)),
        source="test",
    )


def features_of(frames=8, clips=1, dim=8):
    generator = torch.Generator().manual_seed(0)
    return Features(grid=(3, 4), patches=torch.randn(clips, frames, 12, dim, generator=generator))


def small(**changes):
    torch.manual_seed(0)
    return Association(8, **({"object_dim": 32, "num_slots": 10, "depth": 2} | changes))


def test_targets_are_newborn_first_and_then_one_slot():
    task = small().eval()
    athletes = walking()
    output = task(features_of(), batch_of(athletes))
    targets = output.targets[0].view(8, 4)
    assert (targets[0] == task.decoder.newborn).all()
    assert all(len(column.unique()) == 1 for column in targets[1:].T)
    assert len(targets[1].unique()) == 4


def test_slots_are_handed_out_anew_while_training():
    task = small(occlusion=0.0, false_boxes=0.0).train()
    athletes = walking()
    drawn = [task(features_of(), batch_of(athletes)).targets[0, 4:8].tolist() for _ in range(8)]
    assert len({tuple(row) for row in drawn}) > 4


def test_false_boxes_and_balls_teach_nothing():
    task = small().eval()
    athletes = walking()
    athletes.track_ids[0] = -1
    athletes.roles[1] = 0  # the ball
    output = task(features_of(), batch_of(athletes))
    assert output.targets[0, 0] == -1
    assert int(output.tokens.valid.sum()) == len(athletes) - 1


def test_false_boxes_are_newborn_once():
    task = small(occlusion=0.0, switch=0.0, false_boxes=0.5).train()
    output = task(features_of(), batch_of(walking()))
    extra = int(output.tokens.valid.sum()) - 32
    assert 0 < extra < 12
    assert int((output.targets == task.decoder.newborn).sum()) == 4 + extra


def test_the_future_does_not_leak():
    task = small().eval()
    athletes = walking()
    before = task(features_of(), batch_of(athletes)).logits[0, :16]
    moved = athletes.boxes_xyxy_px.clone()
    moved[20:] += 7
    changed = dataclasses.replace(athletes, boxes_xyxy_px=moved)
    after = task(features_of(), batch_of(changed)).logits[0, :16]
    torch.testing.assert_close(before, after)


def test_padding_rows_change_nothing():
    task = small().eval()
    one, two = walking(), walking().select(torch.arange(32) % 4 != 3)
    alone = task(features_of(), batch_of(two)).logits
    second = dataclasses.replace(two, frame=two.frame + 8)
    both = Athletes(**{k: torch.cat([v, getattr(second, k)]) for k, v in vars(one).items()})
    same = Features(grid=(3, 4), patches=features_of().patches.repeat(2, 1, 1, 1))
    together = task(same, batch_of(both, clips=2)).logits
    torch.testing.assert_close(together[1, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-4)


def test_who_walks_alone_is_followed_before_any_training():
    task = small().eval()
    athletes = walking()
    batch = batch_of(athletes)
    predictions = task.decode(task(features_of(), batch), batch)
    ids = torch.stack([p.track_ids for p in predictions])
    assert ids.shape == (8, 4) and (ids == ids[0]).all() and len(ids[0].unique()) == 4
    metric = task.make_metrics()
    metric.update(predictions, batch)
    assert metric.compute()["idf1"] == 1.0
    metric.update(predictions, batch)  # the same clip again counts once
    assert metric.compute()["idf1"] == 1.0


def test_identities_are_forgotten_and_slots_used_again():
    task = small(num_slots=3, memory=2).eval()
    athletes = walking(people=3)
    gone = athletes.select((athletes.frame < 2) | (athletes.frame > 5))
    batch = batch_of(gone)
    ids = [p.track_ids for p in task.decode(task(features_of(), batch), batch)]
    assert ids[1].tolist() == ids[0].tolist() and not set(ids[7].tolist()) & set(ids[0].tolist())
    crowd = batch_of(walking(people=4))  # more people than slots
    ids = [p.track_ids for p in task.decode(task(features_of(), crowd), crowd)]
    assert all(len(row.unique()) == 4 for row in ids)


def test_nobody_to_follow():
    task = small().eval()
    output = task(features_of())
    assert [len(p.track_ids) for p in task.decode(output)] == [0]
    with pytest.raises(ValueError, match="batch"):
        task.decode(task(features_of(), batch_of(walking())))


def test_learning_lowers_the_loss():
    task = small(switch=0.0, occlusion=0.0, false_boxes=0.0).train()
    optimizer = torch.optim.Adam(task.parameters(), lr=3e-3)
    batch, losses = batch_of(walking()), []
    for _ in range(12):
        terms = task.loss(task(features_of(), batch), batch)
        optimizer.zero_grad()
        terms["identity"].backward()
        optimizer.step()
        losses.append(float(terms["identity"].detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_velocity_is_that_of_the_same_slot():
    time = torch.tensor([[0.0, 0, 1, 1, 2, 2]])
    slots = torch.tensor([[0, 1, 0, 1, 0, 1]])
    centre = torch.tensor([[[0.0, 0], [5, 5], [1, 0], [5, 7], [2, 0], [5, 9]]])
    boxes = torch.cat([centre, torch.ones(1, 6, 2)], dim=-1)
    valid = torch.ones(1, 6, dtype=torch.bool)
    tokens = ObjectTokens(torch.zeros(1, 6, 4), boxes, time, slots, valid)
    expected = [[0, 0], [0, 0], [1, 0], [0, 2], [1, 0], [0, 2]]
    assert velocities(tokens)[0].tolist() == expected


def test_patches_under_a_box():
    grid = (2, 4)
    patches = torch.zeros(1, 1, 8, 1)
    patches[0, 0, 3] = 1.0  # top right
    features = Features(grid=grid, patches=patches)
    boxes = torch.tensor([[0.8, 0.0, 0.95, 0.3], [0.0, 0.6, 0.2, 1.0]])
    sampled = sample_patches(features, boxes, torch.zeros(2, dtype=torch.long))
    assert sampled.shape == (2, 8) and (sampled[0] > 0.5).all() and (sampled[1] == 0).all()


def test_head_width_must_fit():
    with pytest.raises(ValueError, match="head_dim"):
        IdentityDecoder(object_dim=20)
