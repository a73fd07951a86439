"""Benchmarks: how fast and how large things are, beside what others offer. Timing lives here and nowhere else; no test times anything."""
