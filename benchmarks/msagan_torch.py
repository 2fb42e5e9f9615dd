"""The step of face editing in PyTorch, for benchmarks/msagan.py; it needs torch alone.

    python benchmarks/msagan_torch.py '{"side": 32, ...}'

Layers, losses and updates are those of `segsynth.systems.msagan` with the structure E1D1. Prints
one line of JSON: the times of steps, and how many parameters editor and critic have.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def planes(x, label):
    """Put constant planes of the label beside the channels."""
    return torch.cat([x, label[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)


class Residual(nn.Module):
    """x + norm(conv(ReLU(norm(conv(x)))))."""

    def __init__(self, width, norm):
        super().__init__()
        kind = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1),
            kind(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1),
            kind(width),
        )

    def forward(self, x):
        """Keep size and width."""
        return x + self.body(x)


class Editor(nn.Module):
    """One encoder and one decoder, whose last layer gives an attribute image and a mask."""

    def __init__(self, width, downs, blocks, stem, upsample, attr_inject, norm_trunk):
        super().__init__()
        self.inject = attr_inject != "input"
        self.at_input = attr_inject != "bottleneck"
        layers = [nn.Conv2d(3 + self.at_input, width, stem, 1, stem // 2), *active(width)]
        for i in range(downs):
            out = width * 2 ** (i + 1)
            layers += [nn.Conv2d(out // 2, out, 4, 2, 1), *active(out)]
        self.down = nn.Sequential(*layers)
        wide = width * 2**downs
        self.told = nn.Conv2d(wide + 1, wide, 1) if self.inject else None
        self.trunk = nn.Sequential(*(Residual(wide, norm_trunk) for _ in range(blocks)))
        layers = []
        for i in reversed(range(downs)):
            out = width * 2**i
            layers += [*doubled(2 * out, out, upsample), *active(out)]
        self.up = nn.Sequential(*layers, nn.Conv2d(width, 4, stem, 1, stem // 2))

    def forward(self, image, label):
        """Return the edited face and the mask."""
        x = self.down(planes(image, label) if self.at_input else image)
        if self.told is not None:
            x = F.relu(self.told(planes(x, label)))
        x = self.up(self.trunk(x))
        drawn, mask = torch.tanh(x[:, :3]), torch.sigmoid(x[:, 3:])
        return image * (1 - mask) + drawn * mask, mask


def active(width):
    """Instance norm and ReLU."""
    return [nn.InstanceNorm2d(width), nn.ReLU()]


def doubled(width, out, upsample):
    """Layers that double height and width."""
    if upsample == "transpose":
        return [nn.ConvTranspose2d(width, out, 4, 2, 1)]
    return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(width, out, 3, 1, 1)]


class Critic(nn.Module):
    """Strided convolutions down to 2x2, then a map and one logit."""

    def __init__(self, width, side):
        super().__init__()
        layers, features = [], 3
        for i in range(side.bit_length() - 2):
            out = min(width * 2**i, 1024)
            layers += [nn.Conv2d(features, out, 4, 2, 1), nn.LeakyReLU(0.2)]
            features = out
        self.body = nn.Sequential(*layers)
        self.source = nn.Conv2d(features, 1, 3, 1, 1)
        self.classes = nn.Conv2d(features, 1, 2)

    def forward(self, x):
        """Return the map and the logit."""
        x = self.body(x)
        return self.source(x), self.classes(x)[:, :, 0, 0]


class Training:
    """Both networks, their optimizers, and the editor's moving average."""

    def __init__(self, request):
        own = {name: request[name] for name in ("attr_inject", "norm_trunk")}
        self.editor = Editor(**request["editor"], **own)
        self.critic = Critic(request["critic"], request["side"])
        rates = {"lr": 2e-4, "betas": (0.5, 0.999)}
        self.editor_adam = torch.optim.Adam(self.editor.parameters(), **rates)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), **rates)
        self.average = [p.detach().clone() for p in self.editor.parameters()]

    def critic_update(self, image, label):
        """One Adam step of the critic."""
        with torch.no_grad():
            fake, _ = self.editor(image, 1 - label)
        made, _ = self.critic(fake)
        real, logits = self.critic(image)
        share = torch.rand(len(image), 1, 1, 1)
        between = ((1 - share) * image + share * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between)[0].sum(), between, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        classes = F.binary_cross_entropy_with_logits(logits, label)
        loss = made.mean() - real.mean() + 10 * penalty + classes
        self.critic_adam.zero_grad()
        loss.backward()
        self.critic_adam.step()

    def editor_update(self, image, label, guide):
        """One Adam step of the editor."""
        edit, _ = self.editor(image, 1 - label)
        same, mask_same = self.editor(image, label)
        back, mask_back = self.editor(edit, label)
        source, logits = self.critic(edit)
        loss = -source.mean() + F.binary_cross_entropy_with_logits(logits, 1 - label)
        loss = loss + 20 * (back - image).abs().mean() + 100 * (same - image).abs().mean()
        for mask in (mask_same, mask_back):
            loss = loss + 100 * F.relu(guide - mask).mean()
        self.editor_adam.zero_grad()
        loss.backward()
        self.editor_adam.step()
        with torch.no_grad():
            for mean, now in zip(self.average, self.editor.parameters(), strict=True):
                mean.lerp_(now, 0.001)


def main():
    """Time the steps that are asked for."""
    request = json.loads(sys.argv[1])
    torch.manual_seed(0)
    training, side, count = Training(request), request["side"], request["batch"]
    shape = (request["critics"] + 1, count)
    images = torch.rand(*shape, 3, side, side) * 2 - 1
    labels = torch.randint(0, 2, (*shape, 1)).float()
    guide, times = torch.rand(count, 1, side, side), []
    for i in range(request["warm_up"] + request["steps"]):
        began = time.perf_counter()
        for image, label in zip(images[:-1], labels[:-1], strict=True):
            training.critic_update(image, label)
        training.editor_update(images[-1], labels[-1], guide)
        if i >= request["warm_up"]:
            times.append(time.perf_counter() - began)
    counts = {
        name: sum(p.numel() for p in getattr(training, name).parameters())
        for name in ("editor", "critic")
    }
    print(json.dumps({"times": times, "version": torch.__version__, **counts}))


if __name__ == "__main__":
    main()
