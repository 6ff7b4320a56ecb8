"""Benchmarks: figures and ratios, never a verdict. `python -m benchmarks [NAME]`; the contract is in `_contract.py`."""
