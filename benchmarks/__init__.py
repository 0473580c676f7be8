"""Scripts that make the published numbers: `python -m benchmarks.table SPEC.toml` and its neighbours.

They are no part of the installed package; start them at the root of a checkout.
"""
