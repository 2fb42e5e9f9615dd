"""Small files as PyTorch writes them: python tests/oracles/torch_files.py (torch 2.13, CPU).

Writes tests/golden/torch_{zip,legacy,script}.pt, a few kB each: one module with a transposed
parameter, two that share a storage, float16, bfloat16 and int64 buffers. Its values are those of
:func:`tensor`.
"""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
#: Name -> shape; ``block.tied`` is the same tensor as ``table``.
SHAPES = {
    "table": (3, 4),
    "turned": (4, 3),
    "block.weight": (2, 3, 1, 2),
    "block.small": (5,),
    "block.brain16": (4,),
    "block.count": (),
    "block.tied": (3, 4),
}


def tensor(name):
    """The values of a tensor: small integers, the same in all types."""
    if name == "block.tied":
        name = "table"
    count = int(np.prod(SHAPES[name]))
    return ((np.arange(count) * 7 + len(name)) % 19 - 9).reshape(SHAPES[name])


def main():
    import torch

    def of(name, dtype=torch.float32):
        return torch.from_numpy(tensor(name).astype(np.float32)).to(dtype)

    class Block(torch.nn.Module):
        def __init__(self, table: torch.nn.Parameter):
            super().__init__()
            self.weight = torch.nn.Parameter(of("block.weight"))
            self.register_buffer("small", of("block.small", torch.float16))
            self.register_buffer("brain16", of("block.brain16", torch.bfloat16))
            self.register_buffer("count", of("block.count", torch.int64))
            self.tied = table
            self.strides = [1, 2]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.tied * self.strides[0]

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(of("table"))
            self.turned = torch.nn.Parameter(of("turned").t().contiguous().t())
            self.block = Block(self.table)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x) @ self.turned

    module = Whole().eval()
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, GOLDEN / "torch_zip.pt")
    torch.save(
        module.state_dict(),
        GOLDEN / "torch_legacy.pt",
        _use_new_zipfile_serialization=False,
    )
    torch.jit.script(module).save(GOLDEN / "torch_script.pt")
    for name in ("zip", "legacy", "script"):
        print(name, (GOLDEN / f"torch_{name}.pt").stat().st_size)


if __name__ == "__main__":
    main()
