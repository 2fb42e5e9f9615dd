"""What benchmarks/crf.py prints beside its times."""

import pathlib
import runpy

import numpy as np

AGREEMENT = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "benchmarks" / "crf.py"))[
    "agreement"
]
LABELS = np.array([[0, 0, 1, -1, -1]])
#: One given label is overruled by the library, and one of two unlabelled pixels differs.
PEER = np.array([[0, 1, 1, 1, 0]])
OURS = np.array([[0, 0, 1, 1, 1]])


def test_agreement_is_of_all_pixels_and_for_fast_of_the_unlabelled_too():
    found = {"peer": PEER, "full": OURS, "fast": OURS}
    assert AGREEMENT("peer", found, LABELS) == "100.00"
    assert AGREEMENT("full", found, LABELS) == "60.00"
    assert AGREEMENT("fast", found, LABELS) == "80.00 (50.00)"
    assert AGREEMENT("fast", found, np.zeros((1, 5), int)) == "40.00"


def test_without_the_library_there_is_no_agreement():
    assert AGREEMENT("full", {"full": OURS, "fast": OURS}, LABELS) == ""
    assert AGREEMENT("fast", {"fast": OURS}, LABELS) == ""
