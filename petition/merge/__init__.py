"""MERGE: a letter and a person make one email.

A letter is compiled once (`freeze.freeze`): its Jinja tags are put aside, its Markdown becomes one
tree, and from that tree come the HTML and the plain text, both templates again. `message.Merger`
then fills the templates for one person after the other; what is the same in every copy was encoded
when the template was loaded.
"""
