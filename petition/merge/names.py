"""Whether everything that a letter names is there, before it is merged for anybody."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from jinja2 import nodes
from jinja2.tests import TESTS

from petition.campaign.names import nearest
from petition.merge.choosing import keywords_of
from petition.merge.fields import DEMAND_FIELDS, SIGNATORY_FIELDS
from petition.merge.operations import known_filters
from petition.merge.previous import ANSWER_FIELDS
from petition.merge.signing import CHOICE_FIELDS


class Report(Protocol):
    """Is told of a problem."""

    def __call__(self, line: int, what: str, mend: str, mark: str = "") -> None:
        """Take a problem.

        Args:
            line: Its line in the template, from 1.
            what: What is wrong.
            mend: How to mend it.
            mark: What of the line is meant; "": all of it.
        """
        ...


# What Jinja itself lets a template name.
_JINJAS = frozenset({"range", "loop", "self", "caller", "varargs", "kwargs", "true", "false"})

# Of Jinja's tests those that a letter has a use for.
_TESTS = ("defined", "divisibleby", "even", "in", "lower", "number", "odd", "string", "upper")

_ABSENT = {
    "unsubscribe": ("a personal letter has no list to leave", "Write kind: bulk, or take it out"),
    "event": ("the letter has no event", "Write event: NAME in its front matter"),
    "previous": ("the letter follows no other", "Write follows: LETTER in its front matter"),
    "open_demands": ("the letter follows no other", "Write follows: LETTER in its front matter"),
    "reply_by": ("the letter has no reply-by date", "Write reply_by: 14 days in its front matter"),
}

# Filters after which a list still holds the same things.
_SAME_THINGS = frozenset(
    {
        *("limit", "list", "reject", "rejectattr", "reverse", "select", "selectattr"),
        *("sort", "unique", "where"),
    }
)
_FIELDS_OF_EACH = {
    "demands": DEMAND_FIELDS,
    "open_demands": DEMAND_FIELDS,
    "signatories": SIGNATORY_FIELDS,
    "previous.answers": ANSWER_FIELDS,
    "previous.stalls": ANSWER_FIELDS,
}

_OTHER_FILES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


def check_names(tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report) -> None:
    """Look for everything that a template names and that is not there.

    Args:
        tree: The template as Jinja has parsed it.
        known: What it can name, each with its fields.
        report: Is told of every problem.
    """
    _Names(tree, known, report).check()


def check_fields(tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report) -> None:
    """Look only for fields that are not there: for a piece of a template that is broken elsewhere.

    Args:
        tree: The piece, parsed by itself.
        known: What it can name, each with its fields.
        report: Is told of every problem.
    """
    _Names(tree, known, report).check_fields()


class _Names:
    def __init__(
        self, tree: nodes.Template, known: Mapping[str, Sequence[str]], report: Report
    ) -> None:
        self._tree = tree
        self._known = known
        self._report = report

    def check(self) -> None:
        self._check_statements()
        self._check_filters()
        self._check_tests()
        self._check_top_names()
        self.check_fields()
        for name in self._known:
            self._check_bare(name)
        for loop in self._tree.find_all(nodes.For):
            self._check_loop(loop)

    def check_fields(self) -> None:
        for name, fields in self._known.items():
            self._check_fields(self._tree, name, fields)

    def _check_statements(self) -> None:
        for node in self._tree.find_all(_OTHER_FILES):
            what = "a letter is one file and takes in no other"
            self._report(node.lineno, what, "Write the text into the letter itself")
        for node in self._tree.find_all(nodes.ScopedEvalContextModifier):
            what = "{% autoescape %} is not possible: fields are always escaped"
            self._report(node.lineno, what, "Take it out")

    def _check_filters(self) -> None:
        known = known_filters()
        for used in self._tree.find_all(nodes.Filter):
            if used.name in {"safe", "e", "escape"}:
                what = f'there is no filter "{used.name}": fields are always escaped'
                self._report(used.lineno, what, f"Take |{used.name} out", used.name)
            elif used.name not in known:
                what = f'there is no filter "{used.name}"'
                self._unknown(used.lineno, what, used.name, known)

            elif used.name == "where":
                self._check_where(used)

    def _check_where(self, used: nodes.Filter) -> None:
        if used.args or used.dyn_args or used.dyn_kwargs or not used.kwargs:
            what = "where is not told what to choose by"
            self._report(used.lineno, what, 'Write it as where(country="KZ")')
        fields = {"signatories": CHOICE_FIELDS, "demands": DEMAND_FIELDS}.get(_source_of(used))
        for pair in keywords_of(used):
            if fields is CHOICE_FIELDS and pair.key == "name":
                what = "where does not choose signatories by name: not all of them are to be named"
                self._report(used.lineno, what, f"Choose by {', '.join(CHOICE_FIELDS)}")
            elif fields and pair.key not in fields:
                what = f"where cannot choose by {pair.key}"
                self._unknown(used.lineno, what, pair.key, fields)

    def _check_tests(self) -> None:
        for used in self._tree.find_all(nodes.Test):
            if used.name not in TESTS:
                what = f'there is no test "{used.name}"'
                self._unknown(used.lineno, what, used.name, _TESTS)

    def _check_top_names(self) -> None:
        made = set(self._made_names())
        for name in self._tree.find_all(nodes.Name):
            if name.ctx != "load":
                if name.name in self._known:
                    what = f"{name.name} is already something else in a letter"
                    self._report(name.lineno, what, "Choose another name", name.name)
            elif name.name not in {*made, *self._known, *_JINJAS}:
                self._unknown_name(name, made)

    def _unknown_name(self, name: nodes.Name, made: set[str]) -> None:
        if name.name in _ABSENT:
            self._report(name.lineno, *_ABSENT[name.name], name.name)
            return
        columns = self._known.get("recipient", ())
        if name.name in columns:
            what = f"there is no {name.name} by itself"
            self._report(name.lineno, what, f"Write recipient.{name.name}", name.name)
            return
        what = f"there is no {name.name}"
        if near := nearest(name.name, {*made, *self._known}):
            self._report(name.lineno, what, f"Did you mean {near}", name.name)
        else:
            self._unknown(name.lineno, what, name.name, self._known)

    def _made_names(self) -> Iterator[str]:
        """The names that the template itself gives."""
        for name in self._tree.find_all(nodes.Name):
            if name.ctx != "load":
                yield name.name
        for macro in self._tree.find_all(nodes.Macro):
            yield macro.name

    def _check_fields(self, tree: nodes.Node, name: str, fields: Sequence[str]) -> None:
        for line, field in _named_fields(tree, name):
            if field not in fields:
                self._unknown(line, f"there is no {name}.{field}", field, fields, f"{name}.")

    def _check_bare(self, name: str) -> None:
        if name in {"demands", "signatories", "today", "reply_by", "unsubscribe"}:
            return
        for output in self._tree.find_all(nodes.Output):
            for printed in output.nodes:
                if isinstance(printed, nodes.Name) and printed.name == name:
                    what = f"{{{{ {name} }}}} as a whole cannot be printed"
                    mend = f"Write {{% for demand in {name} %}}"
                    if fields := self._known[name]:
                        mend = f"Name a field of it, as {name}.{fields[0]}"
                    self._report(printed.lineno, what, mend, name)

    def _check_loop(self, loop: nodes.For) -> None:
        if not isinstance(loop.target, nodes.Name):
            return
        if fields := _FIELDS_OF_EACH.get(_source_of(loop.iter)):
            for part in loop.body:
                self._check_fields(part, loop.target.name, fields)

    def _unknown(
        self, line: int, what: str, name: str, known: Collection[str], prefix: str = ""
    ) -> None:
        near = nearest(name, known)
        if prefix and not known:
            each = f"{{% for one in {prefix[:-1]} %}}{{{{ one.{name} }}}}{{% endfor %}}"
            self._report(line, what, f"It is a list: write {each}", f"{prefix}{name}")
            return
        listed = ", ".join(sorted(known)) or "nothing"
        mend = f"Did you mean {prefix}{near}" if near else f"Known here: {listed}"
        self._report(line, what, mend, f"{prefix}{name}")


def _source_of(listed: nodes.Node) -> str:
    """The name of the list that a chain of filters begins with, or nothing."""
    while isinstance(listed, nodes.Filter) and listed.name in _SAME_THINGS:
        listed = listed.node or nodes.Const(None)
    if isinstance(listed, nodes.Getattr) and isinstance(listed.node, nodes.Name):
        return f"{listed.node.name}.{listed.attr}"
    return listed.name if isinstance(listed, nodes.Name) else ""


def _named_fields(tree: nodes.Node, name: str) -> Iterator[tuple[int, str]]:
    """The fields of a name that a template asks for, each with its line."""
    for dotted in tree.find_all(nodes.Getattr):
        if isinstance(dotted.node, nodes.Name) and dotted.node.name == name:
            yield dotted.lineno, dotted.attr
    for item in tree.find_all(nodes.Getitem):
        is_named = isinstance(item.node, nodes.Name) and item.node.name == name
        if is_named and isinstance(item.arg, nodes.Const) and isinstance(item.arg.value, str):
            yield item.lineno, item.arg.value
