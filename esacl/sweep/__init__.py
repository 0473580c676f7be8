"""Sweeps: many configs from one file, each a normal run, computed by the processors of this machine or of several.

`spec` reads the file, `record` knows what is done and due, `driver` gives rows to an engine: `processes` or `on_dask`.
"""
