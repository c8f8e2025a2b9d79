"""A letter's template: what it can contain and name, and how it compiles.

`compile.py` gives the order of the steps. `fields.py` has what a template can name, `sandbox.py`
what it can do, and `error_texts.py` what its author is told.
"""
