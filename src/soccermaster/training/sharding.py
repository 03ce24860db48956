"""FSDP2: weights, gradients and optimizer states spread over the processes."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from soccermaster.model import SoccerModel
from soccermaster.models.layers import Block, TemporalAttention
from soccermaster.models.weights import load_strictly


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy over all processes; its checkpoint is one file that any number reads."""

    def __init__(self, **options: Any) -> None:
        """Takes what `ModelParallelStrategy` takes besides sizes, such as `timeout`."""
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **options)

    def setup_environment(self) -> None:
        """Lightning's hook: the mesh has one dimension, that of the data."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def shard(model: SoccerModel, mesh: DeviceMesh) -> None:
    """Shard every block, and what is left of the encoder and of every task, in place.

    What is not trained stays whole: a frozen text tower is run by single processes. So do scalars
    (gates, the scale and bias of logits), which cannot be sharded; their gradients are averaged as
    they arrive.
    """
    stay = {p for p in model.parameters() if p.ndim == 0 or not p.requires_grad}
    parts = [m for m in model.modules() if isinstance(m, Block | TemporalAttention)]
    for module in (*parts, model.encoder, *model.tasks.values()):
        if not stay.issuperset(module.parameters()):
            fully_shard(module, mesh=mesh, ignored_params=stay)
    for parameter in stay:
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_average)


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters are spread over processes."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def hold_whole(model: nn.Module, hold: bool) -> None:
    """Give every process all weights until further notice, or spread them again.

    For evaluation, where processes may have different numbers of batches.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_reshard_after_forward(not hold, recurse=False)
            if hold:
                module.unshard()
            else:
                module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be spread over processes, in full; all processes must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(model: SoccerModel) -> SoccerModel:
    """The model itself, or a whole copy of one that is spread; all processes must ask."""
    if not is_sharded(model):
        return model
    tensors = {name: whole(tensor).cpu() for name, tensor in model.state_dict().items()}
    copy = SoccerModel.from_config(model.config)
    load_strictly(copy, tensors, "the gathered weights")
    return copy


def _average(parameter: nn.Parameter) -> None:
    # what earlier micro-batches left is the same everywhere, so that it stays as it is
    dist.all_reduce(parameter.grad)
    parameter.grad.div_(dist.get_world_size())
