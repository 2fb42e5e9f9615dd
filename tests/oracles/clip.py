"""Golden files of CLIP: two small networks of transformers, and tokens of its tokenizer.

    python tests/oracles/clip.py [path/to/bpe_simple_vocab_16e6.txt.gz]

Writes tests/golden/clip.npz (features of pictures and captions, gradients with respect to the
pictures, PyTorch's resize) and, where the merges are given, tests/golden/clip_tokens.json.
"""

import gzip
import json
import pathlib
import sys

import numpy as np
import torch
import torchvision_shim  # noqa: F401  transformers imports torchvision
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from weights import fill, image

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
#: What the residual stream of a tower begins with and what is added to it.
RESIDUAL = ("embedding", "pre_layrnorm", "out_proj", "mlp.fc2")
#: Name -> options of the picture's tower, of the caption's tower, width of the features, and the
#: factor of the tensors in RESIDUAL: with 0.01 every layer norm sees numbers so small that its
#: epsilon of 1e-5 changes a twentieth of what comes out.
CASES = {
    "small": (
        dict(image_size=32, patch_size=8, hidden_size=32, num_attention_heads=2),
        dict(vocab_size=60, max_position_embeddings=12, hidden_size=24, num_attention_heads=2),
        16,
        1.0,
    ),
    "other": (
        dict(image_size=48, patch_size=16, hidden_size=24, num_attention_heads=3),
        dict(vocab_size=50, max_position_embeddings=9, hidden_size=32, num_attention_heads=4),
        20,
        0.01,
    ),
}
CAPTIONS = (
    "a photo of a cat",
    "a line drawing of man-made objects",
    "A  Diagram,\tof: 3 DOGS & 1234 cats!!",
    "they're here; it's John's, we'll, I'd, don't, you've, I'm",
    "naïve café, Ångström, ＦＵＬＬ width, ﬁ",
    "½ cup of H₂O², chapter Ⅷ, ٣ ७",
    "東京タワー at night 😀👍🏽 — Привет, мир",
    "!!!'s ''s 'S @@#'t ...'re",
    "snake_case __init__ a_b under_score",
    "<|startoftext|> nested <|endoftext|> here",
    "antidisestablishmentarianism supercalifragilisticexpialidocious",
    "",
    "e\u0301 composed, zero\u200bwidth, tab\u00a0space",
)


def model(picture, caption, features):
    for options in (picture, caption):
        options |= dict(num_hidden_layers=2, intermediate_size=4 * options["hidden_size"])
    # This number makes transformers find the end as OpenAI does: the largest number of a row.
    caption |= dict(eos_token_id=2, bos_token_id=0, pad_token_id=1)
    config = CLIPConfig(vision_config=picture, text_config=caption, projection_dim=features)
    config._attn_implementation = "eager"
    return CLIPModel(config).double().eval()


def captions(vocabulary, context):
    rng = np.random.default_rng(3)
    tokens = rng.integers(3, vocabulary - 1, (3, context))
    for row, end in zip(tokens, (context - 1, 4, 2), strict=True):
        row[end:] = [vocabulary - 1] + [0] * (context - 1 - end)
    return tokens


def weights(shapes, factor):
    tensors = fill(shapes)
    for key in tensors:
        if any(part in key for part in RESIDUAL):
            tensors[key] *= np.float32(factor)
    return tensors


def network_golden(name, picture, caption, features, factor):
    network = model(dict(picture), dict(caption), features)
    shapes = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights(shapes, factor).items()})
    side = picture["image_size"]
    pixels = torch.from_numpy(2 * image(f"clip/{name}", (2, side, side, 3))).double()
    pixels = pixels.permute(0, 3, 1, 2).requires_grad_()
    tokens = captions(caption["vocab_size"], caption["max_position_embeddings"])
    both = network(input_ids=torch.from_numpy(tokens), pixel_values=pixels)
    # The model's own outputs are of unit length; these are not.
    seen = network.visual_projection(network.vision_model(pixel_values=pixels).pooler_output)
    read = network.text_projection(network.text_model(torch.from_numpy(tokens)).pooler_output)
    scores = image(f"clip/{name}/scores", (2, 1, 1, features))[:, 0, 0]
    (seen * torch.from_numpy(scores)).sum().backward()
    return {
        f"{name}/keys": np.array(list(shapes)),
        f"{name}/shapes": np.array([",".join(map(str, s)) for s in shapes.values()]),
        f"{name}/residual": np.array(RESIDUAL),
        f"{name}/factor": np.float32(factor),
        f"{name}/tokens": tokens,
        f"{name}/pictures": seen.detach().numpy().astype(np.float32),
        f"{name}/captions": read.detach().numpy().astype(np.float32),
        f"{name}/logits": both.logits_per_image.detach().numpy().astype(np.float32),
        f"{name}/gradient": pixels.grad.permute(0, 2, 3, 1).numpy().astype(np.float32),
    }


def resize_golden():
    x = torch.from_numpy(image("clip/resize", (1, 45, 64, 3))).double().permute(0, 3, 1, 2)
    options = dict(size=(24, 34), mode="bicubic", antialias=True, align_corners=False)
    smooth = torch.nn.functional.interpolate(x, **options)
    nearest = torch.nn.functional.interpolate(x, size=(24, 24), mode="nearest")
    nhwc = lambda t: t.permute(0, 2, 3, 1).numpy().astype(np.float32)  # noqa: E731
    return {"resize/bicubic": nhwc(smooth)[:, :, 5:29], "resize/nearest": nhwc(nearest)}


def tokenizer(path):
    lines = gzip.open(path, "rt", encoding="utf-8").read().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(byte) for byte in seen] + [chr(256 + i) for i in range(256 - len(seen))]
    symbols = alphabet + [a + "</w>" for a in alphabet] + ["".join(merge) for merge in merges]
    symbols += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={s: i for i, s in enumerate(symbols)}, merges=merges)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    golden = resize_golden()
    for name, options in CASES.items():
        golden |= network_golden(name, *options)
    np.savez_compressed(GOLDEN / "clip.npz", **golden)
    if not sys.argv[1:]:
        return
    tokens = dict(zip(CAPTIONS, tokenizer(sys.argv[1])(list(CAPTIONS))["input_ids"], strict=True))
    text = json.dumps(tokens, indent=0, ensure_ascii=True)
    (GOLDEN / "clip_tokens.json").write_text(text.replace(",\n", ", ") + "\n")


if __name__ == "__main__":
    main()
