"""A compiled letter and a person become one email.

`freeze.freeze` compiles a letter (see `petition.template`) and fixes all that its copies are made
of. `message.Merger` then fills it for one person after the other; what is the same in every copy
was encoded when the letter was loaded.
"""
