"""Compiles one text of a letter: the templates of its subject, plain text and HTML."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jinja2 import TemplateSyntaxError, nodes

from petition.campaign.demands import Demand
from petition.campaign.letter import LetterText
from petition.errors import Problem
from petition.merge.template.bodies import write_page, write_plain
from petition.merge.template.check_names import check_fields, check_names, check_statements
from petition.merge.template.error_texts import of_syntax
from petition.merge.template.fields import Named, ValueRefused, clean
from petition.merge.template.markdown import Node, Picture, read_markdown, read_plain
from petition.merge.template.sandbox import LetterEnvironment, template_syntax
from petition.merge.template.signatories import SignatoryList, comma, disclaimer, unnamed_line
from petition.merge.template.tags import (
    TAG,
    Marked,
    Tag,
    Template,
    find_oversized,
    find_reserved,
    mark_tags,
    without_reserved,
)

# Tells of a field that cannot stand where it does: gets its mark, what is wrong, how to mend it.
Complain = Callable[[str, str, str], None]

# Gives the block that an expression stands for; None: it is none.
Block = Callable[[str], list[Node] | None]

_BLOCK_EMPTY = "Write some into their file, or take it out"
_BLOCK_ALONE = "Give it a paragraph of its own, or take it out"


def demand_blocks(demands: Sequence[Demand]) -> list[Node]:
    """The demands as a numbered list, each with its title and its text."""
    return [Node("ordered_list", name="demands", children=[_demand(one) for one in demands])]


def _demand(demand: Demand) -> Node:
    title = Node("strong", children=[_text(demand.title)])
    heading = Node("paragraph", children=[title], is_tight=True)
    return Node("list_item", children=[heading, *read_plain(demand.text)])


def signatory_blocks(signatories: SignatoryList) -> list[Node]:
    """Those who signed: organisations, then persons, then how many are not named.

    Where a person's role or organisation is shown, a last line says what it is there for.
    """
    blocks: list[Node] = []
    language, named = signatories.language, list(signatories)
    for is_organisation in (True, False):
        kind = [one for one in named if (one.field("kind") == "organisation") is is_organisation]
        entries = [_signature(one, comma(language)) for one in kind]
        if entries:
            blocks.append(Node("signatures", name="signatories", children=entries))
    if signatories.others:
        line = unnamed_line(signatories.others, language, follows=bool(named))
        blocks.append(Node("paragraph", name="unnamed", children=[Node("text", line)]))
    if any(map(_has_affiliation, named)):
        line = disclaimer(language)
        blocks.append(Node("paragraph", name="disclaimer", children=[Node("text", line)]))
    return blocks


def _has_affiliation(signatory: Named) -> bool:
    is_person = signatory.field("kind") == "individual"
    return is_person and bool(signatory.field("role") or signatory.field("organisation"))


def _signature(signatory: Named, mark: str) -> Node:
    about = [signatory.field(key) for key in ("role", "organisation", "place", "country")]
    rest = "".join(f"{mark}{part}" for part in about if part)
    name = Node("strong", children=[_text(signatory.field("name"))])
    return Node("list_item", children=[name, _text(rest)] if rest else [name])


def _text(text: str) -> Node:
    return Node("text", without_reserved(text))


def expand(nodes: list[Node], block: Block, marked: Marked, complain: Complain) -> list[Node]:
    """Put blocks in place of the paragraphs that hold only what stands for them."""
    expanded: list[Node] = []
    for node in nodes:
        if mark := _only_mark(node):
            try:
                blocks = block(marked.tag(mark).source)
            except ValueRefused as refusal:
                complain(mark, refusal.what, refusal.hint)
                continue
            if blocks is not None:
                if not blocks:
                    complain(mark, *_empty(marked.tag(mark)))
                expanded += blocks
                continue
        if node.kind == "field" and _is_block(node, block, marked):
            what = f"{marked.tag(node.text)} does not stand alone in its paragraph"
            complain(node.text, what, _BLOCK_ALONE)
        node.children = expand(node.children, block, marked, complain)
        expanded.append(node)
    return expanded


def _empty(tag: Tag) -> tuple[str, str]:
    if "|" not in tag.source:
        return f"there are no {tag.source}", _BLOCK_EMPTY
    what = f"nobody who signed fits {tag}"
    return what, "Compare its values with the file's, or take it out"


def _is_block(node: Node, block: Block, marked: Marked) -> bool:
    try:
        return block(marked.tag(node.text).source) is not None
    except ValueRefused:
        return True


def _only_mark(node: Node) -> str:
    """The mark that is all a paragraph holds, or nothing."""
    if node.kind != "paragraph" or len(node.children) != 1 or node.children[0].kind != "field":
        return ""
    return node.children[0].text


class Blocks:
    """The blocks of a letter in one language.

    Args:
        fixed: Blocks by the name that they stand for.
        chosen: Gives the signatories that an expression chooses; None: it is none.
    """

    def __init__(
        self, fixed: Mapping[str, list[Node]], chosen: Callable[[str], SignatoryList | None]
    ) -> None:
        self._fixed = fixed
        self._chosen = chosen

    def __call__(self, source: str) -> list[Node] | None:
        """The block that an expression stands for, or None."""
        if source in self._fixed:
            return self._fixed[source]
        chosen = self._chosen(source)
        return None if chosen is None else signatory_blocks(chosen)


_FIELD = re.compile(r"\{\{(?:(?!\}\}|\{\{|\{%).)*\}\}", re.DOTALL)

_TAGS_ALONE = "Put it into the text of a paragraph, a list, a table or a link"


@dataclass(frozen=True, slots=True)
class CompiledText:
    """The templates of a letter in one language; their lines are those of the file."""

    subject: Template
    text: Template
    html: Template


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a letter's text is compiled with.

    Args:
        title: What a browser calls the letter.
        known: What the text can name, each with its fields.
        block: Gives the block that an expression alone in its paragraph stands for.
        picture: Gives the link of a picture by its path.
    """

    title: str
    known: Mapping[str, Sequence[str]]
    block: Block
    picture: Picture


def compile_text(
    text: LetterText, around: Surroundings, problems: list[Problem]
) -> CompiledText | None:
    """Compile a letter's text of one language."""
    before = len(problems)
    subject = _Source(text.file, text.subject_line, text.subject, problems)
    body = _Source(text.file, text.body_line, text.body, problems)
    readable = [source.check(around.known) for source in (subject, body)]
    if not all(readable):
        return None
    compiled = CompiledText(subject.template(), *body.pages(around, text.language))
    if len(problems) == before:
        for template in (compiled.text, compiled.html):
            body.check_compiled(template)
    return compiled if len(problems) == before else None


def compile_again(
    file: str, body: str, around: Surroundings, language: str
) -> tuple[Template, Template]:
    """Compile a body once more that was compiled before, with other blocks in it."""
    return _Source(file, 1, body, []).pages(around, language)


def compile_path(
    file: str, line: int, path: str, known: Mapping[str, Sequence[str]], problems: list[Problem]
) -> Template:
    """Compile the path of an attachment, which may hold fields."""
    source = _Source(file, line, path, problems)
    return source.template() if source.check(known) else Template("", ())


def names_in(text: LetterText) -> set[str]:
    """The names that a letter's text uses, as far as it can be read."""
    names: set[str] = set()
    for source in (text.subject, text.body):
        try:
            tree = template_syntax().parse(source)
            names |= {name.name for name in tree.find_all(nodes.Name)}
        except (TemplateSyntaxError, RecursionError, ValueError):
            continue  # whoever compiles it tells
    return names


class _Source:
    """A template as its author wrote it."""

    def __init__(self, file: str, first_line: int, text: str, problems: list[Problem]) -> None:
        self._file = file
        self._shift = first_line - 1
        self._text = re.sub(r"\r\n?", "\n", text)
        self._problems = problems

    def check(self, known: Mapping[str, Sequence[str]]) -> bool:
        """Find what is wrong with the template; whether something can be made of it."""
        before = len(self._problems)
        line = find_reserved(self._text)
        if line is not None:
            what = "the text holds a character of the last private-use plane"
            self._report(line, what, "Delete it, or use an ordinary character")
        for number, text in enumerate(self._text.split("\n"), 1):
            try:
                clean(text)
            except ValueRefused as refusal:
                self._report(number, refusal.what, refusal.hint)
        if oversized := find_oversized(self._text, template_syntax()):
            self._report(*oversized, "Take it apart with {% set %}, or make it shorter")
            return False
        tree = self._parsed()
        if tree is None:
            self._check_fields_alone(known)
            return False
        is_readable = len(self._problems) == before
        if not check_statements(tree, self._report):
            return False
        check_names(tree, known, self._report)
        return is_readable

    def template(self) -> Template:
        """The text as a compiled template."""
        marked = mark_tags(self._text, template_syntax())
        return self._placed(marked.template(marked.text))

    def pages(self, around: Surroundings, language: str) -> tuple[Template, Template]:
        """The templates of the plain text and the HTML."""
        marked = mark_tags(self._text, template_syntax())
        marks = set(marked.marks())
        known = len(self._problems)
        tree = read_markdown(
            marked,
            lambda line, what, hint: self._report(marked.lines[line], what, hint),
            around.picture,
        )
        # What is in the wrong place is not in the tree either: it is told of once.
        lost = marks - set(_marks_in(tree)) if len(self._problems) == known else set()
        for mark in sorted(lost):
            tag = marked.tag(mark)
            self._report(tag.line, f"{tag} stands where nothing is printed", _TAGS_ALONE)
        tree = expand(
            tree,
            around.block,
            marked,
            lambda mark, what, hint: self._report_tag(marked.tag(mark), what, hint),
        )
        text = marked.template(write_plain(tree, marked))
        html = marked.template(write_page(tree, marked, language, around.title))
        return self._placed(text), self._placed(html)

    def check_compiled(self, template: Template) -> None:
        """See that Jinja takes a compiled template as it took the text."""
        environment = LetterEnvironment(str)
        try:
            environment.load(template)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, template.source)
            problem = Problem(self._file, fault.lineno, said.what, said.hint, mark=said.mark)
            if problem not in self._problems:
                self._problems.append(problem)

    def _report_tag(self, tag: Tag, what: str, hint: str) -> None:
        self._report(tag.line, what, hint, tag.source)

    def _parsed(self) -> nodes.Template | None:
        try:
            return template_syntax().parse(self._text)
        except TemplateSyntaxError as fault:
            said = of_syntax(fault, self._text)
            self._report(said.line or fault.lineno, said.what, said.hint, said.mark)
            return None

    def _check_fields_alone(self, known: Mapping[str, Sequence[str]]) -> None:
        """Look at each field by itself where the template as a whole cannot be parsed."""
        for field in _FIELD.finditer(self._text):
            above = self._text.count("\n", 0, field.start())

            def report(line: int, what: str, hint: str, mark: str = "", above: int = above) -> None:
                self._report(above + line, what, hint, mark)

            with suppress(TemplateSyntaxError, RecursionError, ValueError):
                check_fields(template_syntax().parse(field.group()), known, report)

    def _report(self, line: int, what: str, hint: str, mark: str = "") -> None:
        self._problems.append(Problem(self._file, line + self._shift, what, hint, mark=mark))

    def _placed(self, template: Template) -> Template:
        return Template(template.source, tuple(line + self._shift for line in template.lines))


def _marks_in(tree: Iterable[Node]) -> Iterable[str]:
    for node in tree:
        yield from TAG.findall(node.text)
        yield from _marks_in(node.children)
