"""Golden file of the SPADE generator: its layers in PyTorch, under their published names.

    python tests/oracles/spade.py

Park et al., arXiv 1903.07291. Writes tests/golden/spade.npz: outputs of small generators at two
sizes and of one of their blocks in evaluation, gradients of a weighted sum with respect to the
(soft) labels, and spectral vectors and statistics of that block after a step in training.
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm
from weights import fill, image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "spade.npz"
WIDTH, LABELS, HIDDEN, SIZE = 2, 5, 8, (32, 64)


def conv(inputs, outputs, side=3):
    return nn.Conv2d(inputs, outputs, side, padding=side // 2)


class Spade(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.param_free_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(conv(LABELS, HIDDEN), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = conv(HIDDEN, channels), conv(HIDDEN, channels)

    def forward(self, x, labels):
        shared = self.mlp_shared(F.interpolate(labels, size=x.shape[2:], mode="nearest"))
        normalised = self.param_free_norm(x)
        return normalised * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = spectral_norm(conv(inputs, middle))
        self.conv_1 = spectral_norm(conv(middle, outputs))
        self.norm_0, self.norm_1 = Spade(inputs), Spade(middle)
        self.learned = inputs != outputs
        if self.learned:
            self.conv_s = spectral_norm(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.norm_s = Spade(inputs)

    def forward(self, x, labels):
        shortcut = self.conv_s(self.norm_s(x, labels)) if self.learned else x
        h = self.conv_0(F.leaky_relu(self.norm_0(x, labels), 0.2))
        return shortcut + self.conv_1(F.leaky_relu(self.norm_1(h, labels), 0.2))


class Generator(nn.Module):
    """The variant with five doublings, or with six."""

    def __init__(self, width=WIDTH, doublings=5):
        super().__init__()
        self.doublings, wide = doublings, 16 * width
        self.fc = conv(LABELS, wide)
        self.head_0, self.G_middle_0 = Block(wide, wide), Block(wide, wide)
        self.G_middle_1 = Block(wide, wide)
        self.up_0, self.up_1 = Block(wide, wide // 2), Block(wide // 2, wide // 4)
        self.up_2, self.up_3 = Block(wide // 4, wide // 8), Block(wide // 8, wide // 16)
        self.conv_img = conv(wide // 16, 3)

    def forward(self, labels):
        start = tuple(side // 2**self.doublings for side in labels.shape[2:])
        x = self.head_0(self.fc(F.interpolate(labels, size=start, mode="nearest")), labels)
        x = self.G_middle_0(F.interpolate(x, scale_factor=2), labels)
        if self.doublings == 6:
            x = F.interpolate(x, scale_factor=2)
        x = self.G_middle_1(x, labels)
        for block in (self.up_0, self.up_1, self.up_2, self.up_3):
            x = block(F.interpolate(x, scale_factor=2), labels)
        return torch.tanh(self.conv_img(F.leaky_relu(x, 0.2)))


def nchw(array):
    return torch.from_numpy(array).double().permute(0, 3, 1, 2)


def nhwc(tensor):
    return tensor.detach().permute(0, 2, 3, 1).numpy().astype(np.float32)


def labels_and_scores():
    planes = torch.from_numpy(image("labels", (2, *SIZE, LABELS))).double()
    labels = torch.softmax(4 * planes, -1).permute(0, 3, 1, 2).contiguous().requires_grad_()
    return labels, image("scores", (2, *SIZE, 3))


def more_golden(network):
    more = Generator(doublings=6).double().eval()
    more.load_state_dict(network.state_dict())
    labels = nchw(image("more labels", (1, 64, 128, LABELS)) / 2 + 0.5).requires_grad_()
    y = more(labels)
    scores = image("more scores", (1, 64, 128, 3))
    (y.permute(0, 2, 3, 1) * torch.from_numpy(scores)).sum().backward()
    thin = lambda x: nhwc(x)[:, ::3, ::3]  # noqa: E731
    return {"more_output": thin(y), "more_gradient": thin(labels.grad)}


def block_golden(network):
    labels, _ = labels_and_scores()
    x = nchw(image("block", (2, 8, 16, 16 * WIDTH)))
    golden = {"block_output": nhwc(network.up_0(x, labels))}
    network.up_0.train()(x, labels)
    state = network.up_0.state_dict()
    golden["trained_u"] = state["conv_0.weight_u"].numpy().astype(np.float32)
    golden["trained_mean"] = state["norm_0.param_free_norm.running_mean"].numpy()
    return golden


def main():
    torch.set_num_threads(1)
    network = Generator().double().eval()
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in fill(shapes).items()})
    labels, scores = labels_and_scores()
    y = network(labels)
    (y.permute(0, 2, 3, 1) * torch.from_numpy(scores)).sum().backward()
    golden = {
        "keys": np.array(list(shapes)),
        "shapes": np.array([",".join(map(str, s)) for s in shapes.values()]),
        "output": nhwc(y),
        "gradient": nhwc(labels.grad),
    }
    np.savez_compressed(GOLDEN, **golden, **more_golden(network), **block_golden(network))


if __name__ == "__main__":
    main()
