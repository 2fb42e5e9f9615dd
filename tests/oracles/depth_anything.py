"""Golden file of Depth Anything: a small network of transformers, and PyTorch's resizing.

    python tests/oracles/depth_anything.py

Writes tests/golden/depth_anything.npz. transformers interpolates positions without the authors'
offset; PyTorch's interpolation with the offset is stored apart.
"""

import pathlib

import numpy as np
import torch
import torchvision_shim  # noqa: F401  transformers imports torchvision
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config
from weights import fill, image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "depth_anything.npz"
SIZES = ((42, 70), (56, 56))


def nchw(array):
    return torch.from_numpy(array).double().permute(0, 3, 1, 2)


def nhwc(tensor):
    return tensor.detach().permute(0, 2, 3, 1).numpy().astype(np.float32)


def model():
    backbone = Dinov2Config(
        hidden_size=24,
        num_hidden_layers=5,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage4", "stage5"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 12, 16, 20],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    return DepthAnythingForDepthEstimation(config).double().eval()


def resize_golden():
    positions = nchw(image("depth/positions", (1, 4, 4, 6)))
    scale = (3.1 / 4, 5.1 / 4)
    interpolate = torch.nn.functional.interpolate
    picture = nchw(image("depth/picture", (1, 30, 44, 3)))
    cubic = interpolate(picture, size=(42, 56), mode="bicubic", align_corners=False)
    return {
        "resize/positions": nhwc(interpolate(positions, scale_factor=scale, mode="bicubic")),
        "resize/cubic": nhwc(cubic),
        "resize/corners": nhwc(
            interpolate(picture, size=(17, 50), mode="bilinear", align_corners=True)
        ),
    }


def main():
    torch.set_num_threads(1)
    network = model()
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in fill(shapes).items()})
    golden = {
        "keys": np.array(list(shapes)),
        "shapes": np.array([",".join(map(str, s)) for s in shapes.values()]),
        **resize_golden(),
    }
    for height, width in SIZES:
        name = f"{height}x{width}"
        x = nchw(2 * image(f"depth/{name}", (1, height, width, 3))).requires_grad_()
        y = network(x).predicted_depth
        scores = torch.from_numpy(image(f"depth/{name}/scores", (1, height, width, 1))[..., 0])
        (y * scores).sum().backward()
        golden[f"{name}/depth"] = y.detach().numpy().astype(np.float32)
        golden[f"{name}/gradient"] = nhwc(x.grad)
        print(name, float((y > 0).double().mean()), float(y.max()))
    np.savez_compressed(GOLDEN, **golden)


if __name__ == "__main__":
    main()
