"""Compiles one text of a letter: the templates of its subject, plain text and HTML.

1. `_Source.check`: is the template sound, and is everything there that it names?
2. `mark_tags` (tags.py): its tags are put aside, a private-use character for each.
3. `read_markdown` (markdown.py): what is left is Markdown, and becomes a tree.
4. `_put_blocks`: demands and signatories take the place of the paragraphs that name them.
5. `write_plain`, `write_page` (bodies.py): the tree becomes plain text and HTML.
6. `Marked.template`: the tags are put back, which makes templates of both.
7. `_Source.check_compiled`: does Jinja take them as it took the text?
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from jinja2 import TemplateSyntaxError, nodes

from petition.campaign.letter import Demand, LetterText
from petition.errors import Problem
from petition.template.bodies import write_page, write_plain
from petition.template.check_names import NameCheck, check_statements, chosen
from petition.template.error_texts import of_syntax
from petition.template.fields import Named, ValueRefused, clean
from petition.template.markdown import (
    Node,
    PictureSource,
    read_markdown,
    read_plain,
    soft_line_ends,
)
from petition.template.sandbox import LetterEnvironment
from petition.template.signatories import SignatoryList, comma, disclaimer, unnamed_line
from petition.template.syntax_tree import nodes_of, read_source, template_syntax, tree_of
from petition.template.tags import (
    TAG,
    Marked,
    Tag,
    Template,
    find_oversized,
    find_reserved,
    mark_tags,
    without_reserved,
)

_FIELD = re.compile(r"\{\{(?:(?!\}\}|\{\{|\{%).)*\}\}", re.DOTALL)


class CompiledText(NamedTuple):
    """The templates of a letter in one language; their lines are those of the file."""

    subject: Template
    text: Template
    html: Template


# Gives the block that an expression alone in its paragraph stands for; None: it stands for none.
Block = Callable[[str], list[Node] | None]


class Surroundings(NamedTuple):
    """What a letter's text is compiled with."""

    known: Mapping[str, Sequence[str]]  # what the text can name, each with its fields
    block: Block
    picture: PictureSource


def compile_text(
    text: LetterText, around: Surroundings, problems: list[Problem]
) -> CompiledText | None:
    """Compile a letter's text of one language; None where that adds to the problems."""
    before = len(problems)
    subject = _Source(text.file, text.subject_line, text.subject, problems)
    body = _Source(text.file, text.body_line, text.body, problems)
    readable = [source.check(around.known) for source in (subject, body)]
    if not all(readable):
        return None
    compiled = CompiledText(subject.template(), *body.pages(subject, around, text.language))
    if len(problems) == before:
        for template in (compiled.text, compiled.html):
            body.check_compiled(template)
    return compiled if len(problems) == before else None


def compile_again(
    file: str, source: str, around: Surroundings, language: str
) -> tuple[Template, Template]:
    """Compile a subject and a body that were compiled before, with other blocks in them."""
    subject, _, body = source.partition("\n")
    return _Source(file, 1, body, []).pages(_Source(file, 1, subject, []), around, language)


def compile_path(
    file: str, line: int, path: str, known: Mapping[str, Sequence[str]], problems: list[Problem]
) -> Template:
    """Compile a line of the front matter that can contain fields: a path, an address in cc."""
    source = _Source(file, line, path, problems)
    return source.template() if source.check(known) else Template("", ())


def names_in(text: LetterText) -> set[str]:
    """The names that a letter's text uses, as far as it can be read."""
    trees = (tree_of(text.subject), tree_of(text.body))
    return {name.name for tree in trees for name in nodes_of(tree, nodes.Name)}


def joined_lines(text: LetterText) -> list[tuple[int, int]]:
    """The lines of a letter's body, from 0, that become one with the line after them, and that."""
    with suppress(TemplateSyntaxError, RecursionError, ValueError):  # compiling it tells
        marked = mark_tags(text.body, template_syntax())
        ends = sorted(soft_line_ends(marked))
        return [(marked.lines[end] - 1, marked.lines[end + 1] - 1) for end in ends]
    return []


class _Source:
    """A template as its author wrote it."""

    def __init__(self, file: str, first_line: int, text: str, problems: list[Problem]) -> None:
        self._file = file
        self._shift = first_line - 1
        self._text = text
        self._problems = problems

    def check(self, known: Mapping[str, Sequence[str]]) -> bool:
        """Find what is wrong with the template; whether it can be compiled to find more."""
        before = len(self._problems)
        if (line := find_reserved(self._text)) is not None:
            what = "the text has a character of the last private-use plane"
            self._report(line, what, "Delete it, or use an ordinary character")
        for number, text in enumerate(self._text.split("\n"), 1):
            try:
                clean(text)
            except ValueRefused as refusal:
                self._report(number, refusal.what, refusal.hint)
        if oversized := find_oversized(self._text, template_syntax()):
            self._report(*oversized, "Take it apart with {% set %}, or make it shorter")
            return False
        try:
            tree = read_source(self._text)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, self._text)
            self._report(said.line or fault.lineno, said.what, said.hint, said.mark)
            self._check_each_field(known)
            return False
        is_readable = len(self._problems) == before
        if not check_statements(tree, self._report):
            return False
        NameCheck(tree, known, self._report).check()
        return is_readable

    def template(self) -> Template:
        """The text as a compiled template."""
        marked = mark_tags(self._text, template_syntax())
        return self._placed(marked.template(marked.text))

    def marked_in(self, marked: Marked, shift: int) -> str:
        """The text with its tags among those of another text, whose lines are shifted so far."""
        own = mark_tags(self._text, template_syntax())

        def moved(mark: re.Match[str]) -> str:
            tag = own.tag(mark.group())
            return marked.add(tag._replace(line=tag.line + self._shift - shift))

        return TAG.sub(moved, own.text)

    def pages(
        self, subject: "_Source", around: Surroundings, language: str
    ) -> tuple[Template, Template]:
        """The templates of the plain text and of the HTML, whose title is the subject."""
        marked = mark_tags(self._text, template_syntax())
        marks = set(marked.marks())

        def report(line: int, what: str, hint: str) -> None:
            self._report(marked.lines[line], what, hint)

        def complain(mark: str, what: str, hint: str) -> None:
            tag = marked.tag(mark)
            self._report(tag.line, what, hint, tag.source)

        before = len(self._problems)
        tree = read_markdown(marked, report, around.picture)
        if len(self._problems) == before:  # else what is lost was reported
            for mark in sorted(marks - set(_marks_in(tree))):
                tag = marked.tag(mark)
                hint = "Put it into the text of a paragraph, a list, a table or a link"
                self._report(tag.line, f"{tag} is in a place where nothing is printed", hint)
        tree = _put_blocks(tree, around.block, marked, complain)
        text = marked.template(write_plain(tree, marked))
        title = subject.marked_in(marked, self._shift)
        html = marked.template(write_page(tree, marked, language, title))
        return self._placed(text), self._placed(html)

    def check_compiled(self, template: Template) -> None:
        """See that Jinja takes a compiled template as it took the text."""
        try:
            LetterEnvironment(str).check(template)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, template.source)
            problem = Problem(self._file, fault.lineno, said.what, said.hint, mark=said.mark)
            if problem not in self._problems:
                self._problems.append(problem)

    def _check_each_field(self, known: Mapping[str, Sequence[str]]) -> None:
        """Check the fields one by one where the template as a whole cannot be parsed."""
        for field in _FIELD.finditer(self._text):
            above = "\n" * self._text.count("\n", 0, field.start())  # so that its lines are right
            NameCheck(tree_of(above + field.group()), known, self._report).check_fields()

    def _report(self, line: int, what: str, hint: str, mark: str = "") -> None:
        self._problems.append(Problem(self._file, line + self._shift, what, hint, mark=mark))

    def _placed(self, template: Template) -> Template:
        return Template(template.source, tuple(line + self._shift for line in template.lines))


def _marks_in(tree: Iterable[Node]) -> Iterable[str]:
    for node in tree:
        yield from TAG.findall(node.text)
        yield from _marks_in(node.children)


# Reports a field in the wrong place: its mark, what is wrong, what to do about it.
_Complain = Callable[[str, str, str], None]


def _put_blocks(tree: list[Node], block: Block, marked: Marked, complain: _Complain) -> list[Node]:
    """Put blocks in place of the paragraphs that have only an expression for one."""
    made: list[Node] = []
    for node in tree:
        if mark := _only_mark(node):
            try:
                blocks = block(marked.tag(mark).source)
            except ValueRefused as refusal:
                complain(mark, refusal.what, refusal.hint)
                continue
            if blocks is not None:
                if not blocks:
                    complain(mark, *_empty(marked.tag(mark)))
                made += blocks
                continue
        if node.kind == "field" and _is_block(node, block, marked):
            what = f"{marked.tag(node.text)} is not alone in its paragraph"
            complain(node.text, what, "Give it a paragraph of its own, or remove it")
        node.children = _put_blocks(node.children, block, marked, complain)
        made.append(node)
    return made


def _only_mark(node: Node) -> str:
    """The mark of the only field in a paragraph that has nothing else; or nothing."""
    if node.kind != "paragraph" or len(node.children) != 1 or node.children[0].kind != "field":
        return ""
    return node.children[0].text


def _is_block(node: Node, block: Block, marked: Marked) -> bool:
    try:
        return block(marked.tag(node.text).source) is not None
    except ValueRefused:
        return True


def _empty(tag: Tag) -> tuple[str, str]:
    if "|" not in tag.source:
        return f"there are no {tag.source}", "Write some into their file, or remove it"
    return f"no signatory fits {tag}", "Compare its values with the file's, or remove it"


def blocks_of(demands: Sequence[Demand], signatories: SignatoryList) -> Block:
    """Gives the blocks of `demands`, and of the signatories that an expression chooses."""
    of_demands = [Node("ordered_list", name="demands", children=list(map(_demand, demands)))]

    def block(source: str) -> list[Node] | None:
        if source == "demands":
            return of_demands if demands else []
        named = chosen(source, signatories)
        if named is None or (named.signed_since and not named):
            return None  # nobody new is no mistake: `{% if %}` may keep it from being printed
        return _signatory_blocks(named)

    return block


def _demand(demand: Demand) -> Node:
    title = Node("strong", children=[_text(demand.title)])
    heading = Node("paragraph", children=[title], is_tight=True)
    return Node("list_item", children=[heading, *read_plain(demand.text)])


def _signatory_blocks(signatories: SignatoryList) -> list[Node]:
    """Organisations, then persons, then how many are not named."""
    # Where a person's role or organisation is shown, a last line says what it is there for.
    blocks: list[Node] = []
    language, named = signatories.language, list(signatories)
    for is_organisation in (True, False):
        kind = [one for one in named if (one.field("kind") == "organisation") is is_organisation]
        if kind:
            entries = [_signature(one, comma(language)) for one in kind]
            blocks.append(Node("signatures", name="signatories", children=entries))
    if signatories.others:
        line = unnamed_line(
            signatories.others, language, follows=bool(named), since=signatories.signed_since
        )
        blocks.append(Node("paragraph", name="unnamed", children=[Node("text", line)]))
    persons = [one for one in named if one.field("kind") == "individual"]
    if any(one.field("role") or one.field("organisation") for one in persons):
        line = disclaimer(language)
        blocks.append(Node("paragraph", name="disclaimer", children=[Node("text", line)]))
    return blocks


def _signature(signatory: Named, mark: str) -> Node:
    about = [signatory.field(key) for key in ("role", "organisation", "place", "country")]
    rest = "".join(f"{mark}{part}" for part in about if part)
    name = Node("strong", children=[_text(signatory.field("name"))])
    return Node("list_item", children=[name, _text(rest)] if rest else [name])


def _text(text: str) -> Node:
    return Node("text", without_reserved(text))
