from __future__ import annotations

import torch

from soccermaster.ops.boxes import box_iou, cxcywh_to_xyxy, generalized_box_iou, xyxy_to_cxcywh


def test_conversions_are_inverse():
    boxes = torch.rand(7, 4)
    assert torch.allclose(xyxy_to_cxcywh(cxcywh_to_xyxy(boxes)), boxes, atol=1e-6)
    assert (
        cxcywh_to_xyxy(torch.tensor([0.5, 0.5, 0.2, 0.4])).tolist()
        == torch.tensor([0.4, 0.3, 0.6, 0.7]).tolist()
    )


def test_iou_of_known_boxes():
    a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 0, 0]])
    b = torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6]])
    iou = box_iou(a, b)
    assert torch.allclose(iou[0], torch.tensor([1 / 3, 1.0, 0.0]))
    assert (iou[1] == 0).all()


def test_generalized_iou_of_known_boxes():
    a = torch.tensor([[0.0, 0, 1, 1]])
    assert torch.allclose(generalized_box_iou(a, a), torch.ones(1))
    apart = torch.tensor([[2.0, 0, 3, 1]])  # hull 3, union 2
    assert torch.allclose(generalized_box_iou(a, apart), torch.tensor([-1 / 3]))
