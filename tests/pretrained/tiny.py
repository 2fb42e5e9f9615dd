"""A row of the catalogue for tests: a VGG of two convolutions in an .npz, and a server for it."""

import contextlib
import hashlib
import http.server
import io
import re
import threading

import numpy as np

from segsynth.pretrained import vgg
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.published import File, Published, pictures

BLOCKS = (1, 1)


def module(width=4):
    return vgg.VGG(BLOCKS, "none", widths=(width, width))


def tensors(seed=0):
    """The tensors of the network, by Keras's names."""
    rng = np.random.default_rng(seed)
    return {
        "block1_conv1/kernel": rng.standard_normal((3, 3, 3, 4)).astype(np.float32),
        "block1_conv1/bias": rng.standard_normal(4).astype(np.float32),
        "block2_conv1/kernel": rng.standard_normal((3, 3, 4, 4)).astype(np.float32),
        "block2_conv1/bias": rng.standard_normal(4).astype(np.float32),
    }


def npz(**arrays):
    """Bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def catalogue(monkeypatch, data, url="https://nowhere.invalid/tiny.npz", name="tiny"):
    """Put the network into the catalogue, published as ``data`` at ``url``."""
    row = Published(
        name=name,
        doc="for tests",
        files=(File(url, hashlib.sha256(data).hexdigest(), len(data)),),
        licence="none",
        preprocessing="none",
        network=module,
        standin=lambda: module(2),
        inputs=(pictures(8, 8),),
        keys=lambda: vgg.keras_keys(BLOCKS),
    )
    monkeypatch.setitem(CATALOG, name, row)
    return row


@contextlib.contextmanager
def server(data, *, ranges=True, breaks_after=None):
    """Serve ``data`` at every path but /none; yields the address and the list of ranges asked for.

    ``breaks_after`` ends the first answer after so many bytes, as a lost connection does.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            asked.append(wanted)
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and ranges else 0
            if self.path == "/none" or (start and start >= len(data)):
                self.send_error(404 if self.path == "/none" else 416)
                return
            self.send_response(206 if wanted and ranges else 200)
            if wanted and ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            rest = data[start:]
            self.wfile.write(rest[:breaks_after] if len(asked) == 1 and breaks_after else rest)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", asked
        finally:
            listening.shutdown()
            thread.join()
