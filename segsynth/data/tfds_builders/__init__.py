"""Builders that write the data sets of `segsynth.data.layouts` as TFDS ArrayRecords."""
