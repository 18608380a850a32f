"""The training step: parameters, their gradients and Adam for any number of runs at once."""

from itertools import pairwise

import torch
from torch import Tensor

from transformer.config import ModelConfig, OptimConfig
from transformer.model import (
    NOT_TRUNK,
    Parameters,
    initialise,
    look_up_labels,
    parameter_shapes,
    trunk,
    unembed_loss,
)

ALIGNMENT = 16  # floats; each parameter starts on a cache line


class Learner:
    """Runs that are trained together: same shapes, each with its own parameters and batches.

    All parameters lie in one flat vector, and so do gradients and Adam's moments: the optimiser is
    one kernel, and a step allocates next to nothing.  The trunk is differentiated by autograd; the
    unembedding and the label embedding, nine tenths of the parameters, by closed forms.

    Attributes
    ----------
    parameters : name -> (run, ...) views of the flat vector, see `transformer.model`
    """

    def __init__(
        self,
        model: ModelConfig,
        optim: OptimConfig,
        *,
        context: int,
        d_features: int,
        n_labels: int,
        init_seeds: list[int],
        device: torch.device,
    ) -> None:
        self.config = model
        self._shapes = {
            name: (len(init_seeds), *shape)
            for name, shape in parameter_shapes(
                model, context=context, d_features=d_features, n_labels=n_labels
            ).items()
        }
        lengths = [torch.Size(shape).numel() for shape in self._shapes.values()]
        starts = [0]
        for length in lengths:
            starts.append(starts[-1] + -(-length // ALIGNMENT) * ALIGNMENT)
        self._spans = [
            (start, start + length)
            for (start, _), length in zip(pairwise(starts), lengths, strict=True)
        ]
        flat = torch.nn.Parameter(torch.zeros(starts[-1], device=device))
        flat.grad = torch.zeros_like(flat)
        self._adam = torch.optim.Adam(
            [flat],
            lr=optim.learning_rate,
            betas=(optim.beta1, optim.beta2),
            eps=optim.epsilon,
            fused=True,
        )
        # Adam makes this state at its first step; making it here gives views that stay valid
        state = {
            "step": torch.zeros((), device=device),
            "exp_avg": torch.zeros_like(flat.detach()),
            "exp_avg_sq": torch.zeros_like(flat.detach()),
        }
        self._adam.state[flat] = state
        self._step_count = state["step"]
        self.parameters = self._views(flat.detach())
        self._gradients = self._views(flat.grad)
        self._means = self._views(state["exp_avg"])
        self._squares = self._views(state["exp_avg_sq"])
        for run, seed in enumerate(init_seeds):
            initialise(self.parameters, run, seed)
        # autograd adds the trunk's gradients into the flat vector
        self._trunk: Parameters = {}
        for name, value in self.parameters.items():
            if name not in NOT_TRUNK:
                leaf = value.detach().requires_grad_()
                leaf.grad = self._gradients[name]
                self._trunk[name] = leaf
        self._trunk_gradient = flat.grad[: starts[len(self._trunk)]]

    def _views(self, flat: Tensor) -> Parameters:
        return {
            name: flat[start:end].view(shape)
            for (name, shape), (start, end) in zip(self._shapes.items(), self._spans, strict=True)
        }

    def step(self, features: Tensor, labels: Tensor, target: Tensor) -> Tensor:
        """One step of Adam; returns each run's mean loss (R,) before it, on the device.

        Parameters
        ----------
        features : (R, C + 1, B, D);  labels : (R, C, B);  target : (R, B)
        """
        self._trunk_gradient.zero_()
        rows, index = look_up_labels(self.parameters["W_L"], labels)
        rows.requires_grad_()
        resid = trunk(self._trunk, self.config, features, rows)
        loss, d_resid = unembed_loss(self.parameters, self._gradients, resid.detach(), target)
        resid.backward(d_resid)
        assert rows.grad is not None  # rows is a leaf of the graph just run
        d_embedding = self._gradients["W_L"].view(-1, self.config.d_model)
        d_embedding.index_add_(0, index, rows.grad.view(len(index), -1))
        self._adam.step()
        d_embedding.index_fill_(0, index, 0)  # cheaper than clearing every row
        return loss

    def state(self, run: int) -> dict[str, Tensor]:
        """Copies of everything that one run's further steps depend on, by name."""
        tensors = {"adam.step": self._step_count}
        for prefix, views in self._groups():
            tensors |= {prefix + name: view[run] for name, view in views.items()}
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def load_state(self, run: int, state: dict[str, Tensor]) -> None:
        """Inverse of `state`; names or shapes that disagree raise `KeyError` or `ValueError`."""
        for prefix, views in self._groups():
            for name, view in views.items():
                saved = state[prefix + name]
                if saved.shape != view[run].shape:
                    raise ValueError(
                        f"{prefix + name} is {list(saved.shape)}; expected {list(view[run].shape)}"
                    )
                view[run] = saved
        self._step_count.copy_(state["adam.step"])

    def _groups(self) -> list[tuple[str, Parameters]]:
        return [
            ("", self.parameters),
            ("adam.mean.", self._means),
            ("adam.square.", self._squares),
        ]
