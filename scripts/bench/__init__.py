"""The benchmark of the whole runner: `scripts/bench.py` starts each contestant as its own process.

`run_NAME.py` is a contestant, run by its own Python executable, with only `contest`, `workloads`,
`processes` and, for PyTorch, `torch_models` beside it. The other files are `scripts/bench.py`'s.
"""
