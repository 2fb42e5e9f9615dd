"""The published networks: where their weights come from, under which licence, and what reads them.

A row is all that `launch/import_weights.py` and the references ``pretrained:<name>`` and
``standin:<name>`` know of a network.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from segsynth.networks.resnet_generator import ResnetGenerator
from segsynth.networks.spade import SpadeGenerator, Upsampling
from segsynth.pretrained import clip, clip_keys, inception, lpips, resnet50, squeezenet, vgg
from segsynth.pretrained.convert import KeyMap
from segsynth.pretrained.depth_anything import DepthAnything, DinoV2
from segsynth.pretrained.depth_anything_keys import depth_anything_keys
from segsynth.pretrained.informative_drawings_keys import informative_drawings_keys
from segsynth.pretrained.published import File, Published, pictures
from segsynth.pretrained.spade_keys import spade_keys

_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = (
    "BSD-3-Clause (torchvision); trained on ImageNet, whose terms ask for research"
)
_CLIP = "https://openaipublic.azureedge.net/clip/models/"
_CLIP_B32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
_CLIP_B16 = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
_HUGGING_FACE = "https://huggingface.co/"
#: Archives of several networks, checkpoints.tar.gz and model.zip.
_SPADE = "https://drive.google.com/file/d/12gvlTbMvUcJewQlSEaZdeb2CdOB-b8kQ"
_DRAWINGS = "https://drive.google.com/file/d/1MIdHzecxz-z0uY3ARL_R40DlKcuQxiDk"
_LPIPS_HEADS = (
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/"
    "082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1/"
)


def _lpips(net: lpips.Net, backbone: File, heads: File) -> Published:
    return Published(
        name=f"lpips_{net}",
        doc=f"LPIPS v0.1 on {backbone.name.split('-')[0]}",
        files=(backbone, heads),
        licence=f"heads BSD-2-Clause; network {_TORCHVISION_LICENCE}",
        preprocessing="RGB in [-1, 1], shifted and scaled by the constants of LPIPS",
        network=lambda: lpips.LPIPS(net),
        standin=lambda: lpips.LPIPS(net, divisor=8),
        inputs=(pictures(64, 64), pictures(64, 64)),
        keys=lambda: lpips.lpips_keys(net),
    )


def _clip(
    name: str, file: File, keys: Callable[[clip.Clip], KeyMap], patch: int = 32, **rest: Any
) -> Published:
    towers = dict(width=64, layers=2, heads=2)
    made = functools.partial(clip.Clip, clip.ClipImage(patch=patch))
    return Published(
        name=name,
        doc=f"CLIP ViT-B/{patch}: features of pictures and captions, and the scale of their cosine",
        files=(file,),
        licence="MIT",
        preprocessing="RGB in [0, 1], shorter side cubic to 224, middle, CLIP's mean and deviation",
        network=made,
        standin=lambda: clip.Clip(clip.ClipImage(patch=patch, **towers), clip.ClipText(**towers)),
        inputs=(pictures(224, 224), jax.ShapeDtypeStruct((1, 77), jnp.int32)),
        keys=lambda: keys(made()),
        **rest,
    )


def _spade(
    data: str, planes: int, what: str, size: tuple[int, int], upsampling: Upsampling
) -> Published:
    make = functools.partial(SpadeGenerator, planes, size, upsampling=upsampling)
    return Published(
        name=f"spade_{data}",
        doc=f"SPADE's generator of {data} pictures from {planes} label planes",
        files=(
            File(
                _SPADE,
                member=f"{data}_pretrained/latest_net_G.pth",
                archive="checkpoints.tar.gz",
            ),
        ),
        licence="CC BY-NC-SA 4.0",
        preprocessing=f"planes of {size[0]} x {size[1]}: {what}; RGB in [-1, 1] comes out",
        network=make,
        standin=lambda: make(width=4, hidden=16),
        inputs=(pictures(*size, planes),),
        keys=lambda: spade_keys(make()),
    )


def _drawings(style: str) -> Published:
    make = functools.partial(ResnetGenerator, 1)
    return Published(
        name=f"informative_drawings_{style}",
        doc=f"generator of line drawings from photos, style {style} (Chan et al., CVPR 2022)",
        files=(
            File(
                _DRAWINGS,
                size=17_170_000,
                member=f"{style}_style/netG_A_latest.pth",
                archive="model.zip",
            ),
        ),
        licence="MIT",
        preprocessing="RGB in [0, 1]; a drawing in [0, 1] comes out, 1 = paper",
        network=make,
        standin=lambda: make(width=8),
        inputs=(pictures(64, 64),),
        keys=informative_drawings_keys,
    )


def _inception(name: str, last: str, doc: str) -> Published:
    return Published(
        name=name,
        doc=doc,
        files=(File(f"{_TORCHVISION}inception_v3_google-0cc3c7bd.pth", "0cc3c7bd", 108_900_000),),
        licence=_TORCHVISION_LICENCE,
        preprocessing="RGB in [-1, 1]",
        network=lambda: inception.Inception("torchvision", last),
        standin=lambda: inception.Inception("torchvision", last, divisor=8),
        inputs=(pictures(75, 75),),
        keys=lambda: inception.inception_keys("torchvision", last),
    )


_ROWS: tuple[Published, ...] = (
    Published(
        name="vgg19",
        doc="VGG19 of torchvision, its convolutions; what SPADE's perceptual loss compares",
        files=(File(f"{_TORCHVISION}vgg19-dcbb9e9d.pth", "dcbb9e9d", 574_700_000),),
        licence=_TORCHVISION_LICENCE,
        preprocessing="RGB in [0, 1] minus ImageNet's mean over its deviation; SPADE: [-1, 1]",
        network=lambda: vgg.VGG(vgg.VGG19),
        standin=lambda: vgg.VGG(vgg.VGG19, widths=(8, 16, 32, 32, 32)),
        inputs=(pictures(32, 32),),
        keys=lambda: vgg.torchvision_keys(vgg.VGG19),
    ),
    Published(
        name="vgg19_blocks1-3",
        doc="VGG19 of Oxford up to relu3_4, as Keras names it",
        files=(
            File(
                "https://github.com/ViktorSvensson/vgg19-tfjs",
                "f252180c5ff374bea5ad63f3789fa9d81364f6182fcb2c9e40a74f6083057964",
                9_306_582,
                member="vgg19_blocks1-3.npz",
            ),
        ),
        licence="Oxford's weights CC BY 4.0; the repository of this copy states none",
        preprocessing="BGR in [0, 255] minus (103.939, 116.779, 123.68)",
        network=lambda: vgg.VGG(vgg.VGG19[:3], "caffe"),
        standin=lambda: vgg.VGG(vgg.VGG19[:3], "caffe", widths=(8, 16, 32)),
        inputs=(pictures(32, 32),),
        keys=lambda: vgg.keras_keys(vgg.VGG19[:3]),
    ),
    Published(
        name="squeezenet1_0",
        doc="SqueezeNet 1.0 of its authors, deeply compressed, with the classifier",
        files=(
            File(
                "https://raw.githubusercontent.com/songhan/SqueezeNet-Deep-Compression/"
                "fb13faa2cf121ced9999f8a9d538ec6c56084733/compressed_SqueezeNet.net",
                "e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261",
                675_763,
            ),
        ),
        licence="BSD-2-Clause",
        preprocessing="BGR in [0, 255] minus (104, 117, 123), 227 x 227",
        network=lambda: squeezenet.SqueezeNet("1.0", "caffe-integer", classifier=True),
        standin=lambda: squeezenet.SqueezeNet("1.0", "caffe-integer", classifier=True, divisor=8),
        inputs=(pictures(64, 64),),
        keys=squeezenet.caffe_keys,
    ),
    _lpips(
        "alex",
        File(f"{_TORCHVISION}alexnet-owt-7be5be79.pth", "7be5be79", 244_400_000),
        File(
            f"{_LPIPS_HEADS}alex.pth",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            6_009,
        ),
    ),
    _lpips(
        "vgg",
        File(f"{_TORCHVISION}vgg16-397923af.pth", "397923af", 553_400_000),
        File(
            f"{_LPIPS_HEADS}vgg.pth",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            7_289,
        ),
    ),
    _lpips(
        "squeeze",
        File(f"{_TORCHVISION}squeezenet1_1-b8a52dc0.pth", "b8a52dc0", 4_960_000),
        File(
            f"{_LPIPS_HEADS}squeeze.pth",
            "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
            10_811,
        ),
    ),
    _clip(
        "clip_vit_b32",
        File(f"{_CLIP}{_CLIP_B32}/ViT-B-32.pt", _CLIP_B32, 354_000_000),
        clip_keys.clip_openai_keys,
    ),
    _clip(
        "clip_vit_b16",
        File(f"{_CLIP}{_CLIP_B16}/ViT-B-16.pt", _CLIP_B16, 351_000_000),
        clip_keys.clip_openai_keys,
        patch=16,
    ),
    _clip(
        "clip_vit_b32_hf",
        File(
            f"{_HUGGING_FACE}openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin",
            "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
            605_000_000,
        ),
        clip_keys.clip_hf_keys,
        prepare=clip_keys.fuse_attention,
    ),
    Published(
        name="depth_anything_v2_small",
        doc="Depth Anything V2, small: relative inverse depth of a picture",
        files=(
            File(
                f"{_HUGGING_FACE}depth-anything/Depth-Anything-V2-Small/resolve/main/"
                "depth_anything_v2_vits.pth",
                size=99_000_000,
            ),
        ),
        licence="Apache-2.0",
        preprocessing="RGB in [0, 1], cubic to multiples of 14, ImageNet's mean and deviation",
        network=DepthAnything,
        standin=lambda: DepthAnything(
            DinoV2(width=32, layers=4, heads=2, taps=(0, 1, 2, 3)), (8, 8, 16, 16), 16, 8
        ),
        inputs=(pictures(56, 56),),
        keys=lambda: depth_anything_keys(DepthAnything()),
    ),
    _spade("cityscapes", 36, "35 labels, instance edges", (256, 512), "more"),
    _spade("coco", 184, "182 labels, unknown, instance edges", (256, 256), "normal"),
    _spade("ade20k", 151, "150 labels, unknown", (256, 256), "normal"),
    *map(_drawings, ("anime", "contour", "opensketch")),
    Published(
        name="inception_fid",
        doc="Inception-v3 of 2015-12-05, on whose 2048 features FID is defined",
        files=(
            File(
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                "6726825d",
            ),
        ),
        licence="Apache-2.0 (TensorFlow's network; pytorch-fid's conversion of it)",
        preprocessing="8-bit RGB, bilinear to 299 x 299 without antialiasing, in [-1, 1]",
        network=lambda: inception.Inception("fid"),
        standin=lambda: inception.Inception("fid", divisor=8),
        inputs=(pictures(75, 75),),
        keys=lambda: inception.inception_keys("fid"),
    ),
    _inception("inception_v3", "fc", "torchvision's Inception-v3, with the classifier"),
    _inception(
        "inception_v3_mixed6b", "Mixed_6b", "torchvision's Inception-v3 up to the layer Mixed_6b"
    ),
    Published(
        name="resnet50",
        doc="ResNet50 of torchvision (version 1.5), with the classifier",
        files=(File(f"{_TORCHVISION}resnet50-0676ba61.pth", "0676ba61", 102_500_000),),
        licence=_TORCHVISION_LICENCE,
        preprocessing="RGB in [0, 1] minus ImageNet's mean over its deviation",
        network=resnet50.ResNet50,
        standin=lambda: resnet50.ResNet50(divisor=8),
        inputs=(pictures(64, 64),),
        keys=resnet50.resnet50_keys,
    ),
)

#: Name -> network.
CATALOG: Mapping[str, Published] = {row.name: row for row in _ROWS}
