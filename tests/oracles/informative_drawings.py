"""Golden file of the drawing generator: its layers in PyTorch, under their published names.

    python tests/oracles/informative_drawings.py

Chan et al., CVPR 2022. Writes tests/golden/informative_drawings.npz: outputs at an even and at an
odd size, and the gradient of a weighted sum of the output with respect to the input.
"""

import pathlib

import numpy as np
import torch
from torch import nn
from weights import fill, image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "informative_drawings.npz"
WIDTH, BLOCKS = 16, 3
SIZES = ((32, 40), (33, 46))


def normalised(conv):
    return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        first, second = nn.Conv2d(width, width, 3), nn.Conv2d(width, width, 3)
        self.conv_block = nn.Sequential(
            *(nn.ReflectionPad2d(1), *normalised(first), nn.ReflectionPad2d(1)),
            *normalised(second)[:2],
        )

    def forward(self, x):
        return x + self.conv_block(x)


class Generator(nn.Module):
    def __init__(self, inputs=3, outputs=1, width=WIDTH, blocks=BLOCKS):
        super().__init__()
        double = dict(stride=2, padding=1, output_padding=1)
        self.model0 = nn.Sequential(nn.ReflectionPad2d(3), *normalised(nn.Conv2d(inputs, width, 7)))
        self.model1 = nn.Sequential(
            *normalised(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)),
            *normalised(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)),
        )
        self.model2 = nn.Sequential(*(Residual(4 * width) for _ in range(blocks)))
        self.model3 = nn.Sequential(
            *normalised(nn.ConvTranspose2d(4 * width, 2 * width, 3, **double)),
            *normalised(nn.ConvTranspose2d(2 * width, width, 3, **double)),
        )
        self.model4 = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Sigmoid()
        )

    def forward(self, x):
        for part in (self.model0, self.model1, self.model2, self.model3, self.model4):
            x = part(x)
        return x


def main():
    torch.set_num_threads(1)
    network = Generator().double()
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in fill(shapes).items()})
    golden = {
        "keys": np.array(list(shapes)),
        "shapes": np.array([",".join(map(str, s)) for s in shapes.values()]),
    }
    for height, width in SIZES:
        name = f"{height}x{width}"
        x = torch.from_numpy(image(name, (1, height, width, 3)) / 2 + 0.5).double()
        x = x.permute(0, 3, 1, 2).requires_grad_()
        y = network(x)
        scores = image(f"{name} weights", (1, *y.shape[2:], 1))
        (y.permute(0, 2, 3, 1) * torch.from_numpy(scores)).sum().backward()
        golden[f"{name}_output"] = y.detach().permute(0, 2, 3, 1).numpy().astype(np.float32)
        golden[f"{name}_gradient"] = x.grad.permute(0, 2, 3, 1).numpy().astype(np.float32)
    np.savez_compressed(GOLDEN, **golden)


if __name__ == "__main__":
    main()
