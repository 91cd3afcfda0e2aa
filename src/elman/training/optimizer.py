"""The optimizers by name, gradient clipping, and an optimizer's state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from elman.config import TrainingConfig
from elman.errors import UsageError


def make_optimizer(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """The optimizer that `config` names, over the parameters that are trained.

    AdamW: Loshchilov and Hutter 2019, decoupled weight decay, betas 0.9 and 0.999. Its fused form is elementwise on a
    CPU too, so it is as deterministic as the plain loop and several times faster. SGD with momentum has no fused form
    here: torch's cannot take a parameter whose first gradient comes after the first step.
    """
    parameters = trained(network)
    if config.optimizer == "sgd":
        return SGD(
            parameters,
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=not config.momentum,
        )
    return AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def trained(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen, each once."""
    return [p for p in network.parameters() if p.requires_grad]


def set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(optimizer: Optimizer, largest: float) -> float:
    """Scale all gradients together so that their norm is at most `largest` (0: leave them). Returns the norm before.

    Fused SGD scales them in its next step, which reads them anyway."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    excess = (norm + 1e-6) / largest if largest else norm.new_zeros(())
    inside = bool(excess <= 1)
    if isinstance(optimizer, SGD) and optimizer.defaults["fused"]:
        vars(optimizer)["grad_scale"] = None if inside else excess  # torch's name: what the step divides gradients by
    elif not inside:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm.item()


def require_finite(step: int, loss: float, norm: float) -> None:
    """Stop before weights are spoilt. Raises UsageError that names the step (from 1) and what to try."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise UsageError(
        f"step {step}: expected a finite loss and gradient, found loss {loss} and gradient norm {norm}; nothing was "
        "changed by this step. Try a lower learning rate, a longer warm-up or a smaller clip, in a new folder"
    )


def optimizer_tensors(optimizer: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The state of the optimizer as `parameter/key` -> tensor. Parameters not yet moved have none."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: Optimizer, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Restore what `optimizer_tensors` returned. Raises KeyError where a name is not of this network."""
    indices = {name: i for i, name in enumerate(name for name, p in network.named_parameters() if p.requires_grad)}
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        state.setdefault(indices[parameter], {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def trainable_device(network: nn.Module) -> torch.device:
    """The device of the network; the CPU for one without parameters."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))
