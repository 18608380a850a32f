"""The small ResNet that the transience paper trains jointly (Chan et al. 2022).

Convolution 7 x 7 by 2 to 64 channels, norm, ReLU, max pooling 3 by 2; four groups of two bottleneck
blocks (1 x 1, 3 x 3, 1 x 1, inner width a quarter) of 16, 32, 32 and 64 channels by 1, 2, 2 and 2;
the mean over the image is the token.  Batch norm (decay 0.9, epsilon 1e-5); the last scale of a
block starts at 0.  Padding is as in JAX's "SAME", which for strides of 2 pads the end first.

Batch norm spans all images of a run's batch, 288 for 32 sequences of 9.  The published runs were
spread over devices, each with statistics of its own (36 images, if there were eight).

All runs of an ensemble are one grouped convolution; on a GPU, those of 1 x 1 are matrix products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]

STEM = 64
GROUPS = ((16, 1), (32, 2), (32, 2))  # channels and stride; a last one has d_model channels by 2
DECAY = 0.9  # of the running statistics
EPSILON = 1e-5


def resnet_blocks(d_model: int) -> list[tuple[str, int, int, int]]:
    """Return name, input channels, output channels and stride of each bottleneck block."""
    blocks, inputs = [], STEM
    for group, (outputs, stride) in enumerate((*GROUPS, (d_model, 2))):
        blocks.append((f"encoder.{group}.0.", inputs, outputs, stride))
        blocks.append((f"encoder.{group}.1.", outputs, outputs, 1))
        inputs = outputs
    return blocks


def _norms(d_model: int) -> dict[str, int]:
    """Return name and channels of each batch norm."""
    norms = {"encoder.norm": STEM}
    for name, _, outputs, _ in resnet_blocks(d_model):
        inner = outputs // 4
        norms |= {name + "norm_1": inner, name + "norm_2": inner, name + "norm_3": outputs}
        if name.endswith(".0."):
            norms[name + "norm_shortcut"] = outputs
    return norms


def resnet_shapes(d_model: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each trained parameter.

    `W*` are (outputs, inputs, height, width), parameters of norms (channels,).
    """
    shapes: dict[str, tuple[int, ...]] = {"encoder.W": (STEM, 1, 7, 7)}
    for name, inputs, outputs, _ in resnet_blocks(d_model):
        inner = outputs // 4
        shapes |= {
            name + "W_1": (inner, inputs, 1, 1),
            name + "W_2": (inner, inner, 3, 3),
            name + "W_3": (outputs, inner, 1, 1),
        }
        if name.endswith(".0."):
            shapes[name + "W_shortcut"] = (outputs, inputs, 1, 1)
    for name, channels in _norms(d_model).items():
        shapes |= {name + "_w": (channels,), name + "_b": (channels,)}
    return shapes


def statistics_shapes(d_model: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each running statistic, which follows the data and not the gradient."""
    return {
        name + kind: (channels,)
        for name, channels in _norms(d_model).items()
        for kind in ("_mean", "_var")
    }


class BatchNorm:
    """Batch norm by the batch's own statistics, which it collects, or by the running ones."""

    def __init__(self, parameters: Parameters, training: bool) -> None:
        self.parameters, self.training = parameters, training
        self.seen: Parameters = {}

    def __call__(self, x: Tensor, name: str) -> Tensor:
        """Normalise (n, R, channels, height, width)."""
        scale, shift = self.parameters[name + "_w"], self.parameters[name + "_b"]
        if self.training:
            y, mean, inverse_std = torch.native_batch_norm(
                x.flatten(1, 2), scale.flatten(), shift.flatten(), None, None, True, 0, EPSILON
            )
            var = (inverse_std.detach() ** -2 - EPSILON).clamp_min(0)
            self.seen[name + "_mean"] = mean.detach().view(scale.shape)
            self.seen[name + "_var"] = var.view(scale.shape)
            return y.view(x.shape)
        mean, var = self.parameters[name + "_mean"], self.parameters[name + "_var"]
        scale = scale * torch.rsqrt(var + EPSILON)
        shift = shift - mean * scale
        return x * scale[..., None, None] + shift[..., None, None]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the pixels that are padded before and after, as in JAX's "SAME"."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def cut_kernel(size: int, kernel: int, stride: int) -> tuple[slice, tuple[int, int]]:
    """Return the part of a kernel that sees more than padding, and the padding that it needs.

    In bfloat16 on a CPU with AMX, PyTorch 2.13 leaves the gradients by the other weights undefined.
    """
    before, after = same_padding(size, kernel, stride)
    first = max(before - (-(-size // stride) - 1) * stride, 0)
    end = min(before + size, kernel)
    return slice(first, end), (before - first, after - (kernel - end))


def _convolve(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolve images (n, R, inputs, height, width) with each run's filters."""
    n, n_runs = x.shape[:2]
    kernel = weight.shape[-1]
    if kernel == 1 and n_runs > 1 and x.device.type != "cpu":  # cuDNN's grouped ones are slow
        return _mix_channels(x, weight, stride)
    images, padding = x.flatten(1, 2), (0, 0)
    (height, rows), (width, columns) = (cut_kernel(size, kernel, stride) for size in x.shape[-2:])
    weight = weight[..., height, width]
    if rows[0] == rows[1] and columns[0] == columns[1]:
        padding = rows[0], columns[0]
    else:
        images = F.pad(images, (*columns, *rows))
    y = F.conv2d(images, weight.flatten(0, 1), stride=stride, padding=padding, groups=n_runs)
    return y.view(n, n_runs, -1, *y.shape[-2:])


def _mix_channels(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Return what `_convolve` does for filters of 1 x 1, as products of matrices."""
    x = x[..., ::stride, ::stride]
    return (weight.flatten(2) @ x.flatten(3)).unflatten(3, x.shape[-2:])


def _max_pool(x: Tensor) -> Tensor:
    rows, columns = (same_padding(size, 3, 2) for size in x.shape[-2:])
    padded = F.pad(x.flatten(1, 2), (*columns, *rows), value=-torch.inf)
    y = F.max_pool2d(padded, 3, 2)
    return y.view(*x.shape[:3], *y.shape[-2:])


def resnet(
    parameters: Parameters, features: Tensor, d_model: int, *, training: bool
) -> tuple[Tensor, Parameters]:
    """Return tokens (R, items, d_model) of square images (R, items, pixels), and statistics.

    In training, the norms use the statistics of the batch over all its images, and return them;
    otherwise they use the running ones and return none.
    """
    n_runs, n_items, n_pixels = features.shape
    side = round(n_pixels**0.5)
    norm = BatchNorm(parameters, training)
    x = features.view(n_runs, n_items, 1, side, side).transpose(0, 1)
    x = _max_pool(F.relu(norm(_convolve(x, parameters["encoder.W"], 2), "encoder.norm")))
    for name, _, _, stride in resnet_blocks(d_model):
        shortcut = x
        if name + "W_shortcut" in parameters:
            shortcut = norm(
                _convolve(x, parameters[name + "W_shortcut"], stride), name + "norm_shortcut"
            )
        y = F.relu(norm(_convolve(x, parameters[name + "W_1"]), name + "norm_1"))
        y = F.relu(norm(_convolve(y, parameters[name + "W_2"], stride), name + "norm_2"))
        y = norm(_convolve(y, parameters[name + "W_3"]), name + "norm_3")
        x = F.relu(y + shortcut)
    return x.mean((3, 4)).transpose(0, 1), norm.seen
