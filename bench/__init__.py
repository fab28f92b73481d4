"""Measurements, run by hand: each prints its figures beside a floor measured in the same run. See README.md."""
