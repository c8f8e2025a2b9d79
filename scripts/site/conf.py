"""Sphinx's settings for the site of the documentation; build.py collects its pages."""

from petition import __version__

project = "petition"
version = release = __version__
html_title = "petition"
language = "en"

extensions = ["myst_parser"]
myst_heading_anchors = 4  # what a link may name after #, spelt as code-hosting sites spell it
nitpicky = True
# Blocks of a kind that Pygments does not know, or cannot read, have no colours.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
