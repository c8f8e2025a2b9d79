"""Yes and no, as people and programs write them."""

ANSWERS = dict.fromkeys(("yes", "y", "true", "t", "1", "да", "иә"), True) | dict.fromkeys(
    ("no", "n", "false", "f", "0", "", "нет", "жоқ"), False
)


def answer(text: str) -> bool | None:
    """What a cell says: yes, no (an empty one too), or None where it is not clear."""
    return ANSWERS.get(text.strip().lower())
