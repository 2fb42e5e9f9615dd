"""Reports that are kept: their pictures come along, and an older copy's go."""

from segsynth.report_copies import keep


def test_a_kept_report_has_all_that_it_links_to(tmp_path):
    sweep, copy = tmp_path / "sweep", tmp_path / "docs/masks.md"
    (sweep / "seed0/ce/samples").mkdir(parents=True)
    (sweep / "seed0/ce/samples/01.png").write_bytes(b"picture")
    (sweep / "report.json").write_text("{}")
    text = "# t\n[figures](report.json), [paper](https://x.org/a)\n![ce](seed0/ce/samples/01.png)\n"
    (sweep / "report.md").write_text(text)
    (tmp_path / "docs/masks").mkdir(parents=True)
    (tmp_path / "docs/masks/old.png").write_bytes(b"of an older sweep")
    keep(sweep / "report.md", copy)
    kept = "# t\n[figures](masks/report.json), [paper](https://x.org/a)\n"
    assert copy.read_text() == kept + "![ce](masks/seed0-ce-samples-01.png)\n"
    assert (tmp_path / "docs/masks/seed0-ce-samples-01.png").read_bytes() == b"picture"
    files = sorted(path.name for path in (tmp_path / "docs").rglob("*") if path.is_file())
    assert files == ["masks.md", "report.json", "seed0-ce-samples-01.png"]
    assert (sweep / "report.md").read_text() == text
