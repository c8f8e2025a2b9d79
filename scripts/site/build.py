"""Makes a site of the documentation, in build/docs or the folder that is named: `make docs`.

The pages stay Markdown that a code-hosting site shows as well. They are copied to a folder where
Sphinx reads them, and what only the site has is added there: the navigation, from the list in
docs/README.md, and the reference of commands, from the program itself.
"""

import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

import reference

ROOT = Path(__file__).parents[2]
SETTINGS = Path(__file__).parent
SITE = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "build" / "docs"
SOURCE = SITE.with_name(f"{SITE.name}-source")

# What each page is called on the site; those of docs/ keep their names.
PAGES = {
    "README.md": "index.md",
    "docs/README.md": "pages.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
LINK = re.compile(r"(?P<words>\[[^\[\]]*\])\((?P<file>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
PICTURES = "docs/pictures/"
# What the theme leaves out that a screen reader or a keyboard needs.
FOR_ALL = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<pre>": '<pre tabindex="0">',
}
LISTED = re.compile(r"^- \[(?P<title>[^\]]+)\]\((?P<page>[^)#]+)\.md\)", re.MULTILINE)


def pages() -> dict[str, str]:
    """Each page of the repository, by its path there, with its name on the site."""
    in_docs = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}
    return in_docs | PAGES


def moved(text: str, page: str) -> str:
    """A page's text with its links to other pages as the site has them.

    A link to another file of the repository, such as the licence, becomes its words.
    """
    names = pages()

    def rename(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["file"]))
        if path.startswith(PICTURES):
            return f"{link['words']}({path.removeprefix('docs/')})"
        if path not in names and (ROOT / path).is_file():
            return link["words"][1:-1]
        return f"{link['words']}({names.get(path, link['file'])}{link['anchor'] or ''})"

    fenced = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    fenced[::2] = [LINK.sub(rename, prose) for prose in fenced[::2]]
    return "".join(fenced)


def navigation() -> str:
    """What Sphinx makes its navigation of: the headings and links of docs/README.md."""
    text = moved((ROOT / "docs" / "README.md").read_text("utf-8"), "docs/README.md")
    trees = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        listed = [
            f"{link['title']} <{'self' if link['page'] == 'index' else link['page']}>"
            for link in LISTED.finditer(rest)
        ]
        lines = ["```{toctree}", f":caption: {heading}", ":hidden:", "", *listed, "```"]
        trees.append("\n".join(lines))
    return "\n\n".join(trees)


def collect() -> None:
    """Copy the pages and pictures to where Sphinx reads them."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "pictures").mkdir(parents=True)
    for picture in (ROOT / PICTURES).glob("*"):
        shutil.copy(picture, SOURCE / "pictures")
    for page, name in pages().items():
        text = moved((ROOT / page).read_text("utf-8"), page)
        if name == "index.md":
            text += f"\n{navigation()}\n"
        elif name == "pages.md":
            text = f"---\norphan: true\n---\n{text}"  # the navigation itself
        elif name == "commands.md":
            text += f"\n{reference.as_markdown()}\n"
        (SOURCE / name).write_text(text, encoding="utf-8")


def build() -> int:
    """Run Sphinx, to which each warning is an error: a page without a place, a broken link."""
    shutil.rmtree(SITE, ignore_errors=True)
    options = ["-b", "html", "-c", SETTINGS, "-W", "--keep-going", "-n", "-q"]
    done = subprocess.run([sys.executable, "-m", "sphinx", *options, SOURCE, SITE], check=False)
    for page in SITE.glob("*.html"):
        text = page.read_text("utf-8")
        for written, meant in FOR_ALL.items():
            text = text.replace(written, meant)
        page.write_text(text, encoding="utf-8")
    if done.returncode == 0:
        print(f"Open {SITE / 'index.html'} in a browser.")
    return done.returncode


if __name__ == "__main__":
    collect()
    sys.exit(build())
