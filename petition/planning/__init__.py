"""Who gets which text of a letter, and the only way into the log.

`prepare.prepare` checks a letter and its list, and compares them with the log, which `plan` does
for its text; `prepare.enqueue` carries out what was prepared.
"""
