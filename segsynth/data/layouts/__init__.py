"""Published data sets, read straight from their unpacked trees."""
