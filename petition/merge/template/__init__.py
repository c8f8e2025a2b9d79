"""The templates of a letter: what can stand in them, what they can name, how they compile.

`compile.py` says in which order the others are used. `fields.py` has what a template can name,
`sandbox.py` what it can do, `error_texts.py` what its author is told; `foreign.py` reads templates
of mailmerge.
"""
