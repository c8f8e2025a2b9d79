"""A frozen letter without somebody who signed it or got a copy, and otherwise the same."""

import copy as copying
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from petition.campaign.demands import Demand
from petition.merge.blocks import Blocks, demand_blocks
from petition.merge.choosing import chosen
from petition.merge.document import Frozen
from petition.merge.part import content_id
from petition.merge.signing import signatories_in
from petition.merge.tags import Template
from petition.merge.template import Surroundings, compile_again


def without(
    frozen: Frozen,
    is_signature: Callable[[dict[str, str]], bool],
    is_box: Callable[[str], bool],
) -> Frozen | None:
    """The letter as it would have been frozen without a person; None where it has them nowhere.

    It is made of what was frozen alone, whatever has become of the files since.

    Args:
        frozen: The letter.
        is_signature: Whether a published signatory is the person.
        is_box: Whether an address of cc or bcc is theirs.
    """
    document = copying.deepcopy(frozen.document)
    signatories = document["signatories"]
    before = len(signatories["published"])
    signatories["published"] = [one for one in signatories["published"] if not is_signature(one)]
    gone = before - len(signatories["published"])
    signatories["total"] -= gone
    for key in ("cc", "bcc"):
        document[key] = [
            one for one in document[key] if not is_box(one if isinstance(one, str) else one[-1])
        ]
    if document == frozen.document:
        return None
    if gone:
        for language, text in document["texts"].items():
            _compile(document, language, text)
    return replace(frozen, document=document)


def _compile(document: dict[str, Any], language: str, text: dict[str, Any]) -> None:
    demands = [
        Demand(one["number"], one["id"], one["title"], one["source"], 1)
        for one in document["demands"].get(language, ())
    ]
    signatories = signatories_in(document["signatories"], language)
    blocks = Blocks(
        {"demands": demand_blocks(demands) if demands else []},
        lambda source: chosen(source, signatories),
    )
    links = {one["path"]: f"cid:{content_id(one['sha256'])}" for one in text.get("pictures", ())}
    around = Surroundings(document["campaign"]["title"], {}, blocks, links.__getitem__)
    body = text["source"].partition("\n")[2]
    for part, template in zip(
        ("text", "html"), compile_again(text["file"], body, around, language), strict=True
    ):
        text[part] = _as_json(template, text[part]["lines"])


def _as_json(template: Template, before: list[int]) -> dict[str, Any]:
    """A template, whose lines are those of the file again: its body begins where it began."""
    shift = before[0] - template.lines[0] if before and template.lines else 0
    return {"template": template.source, "lines": [line + shift for line in template.lines]}
