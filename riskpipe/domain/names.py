"""Names from data, shown to people: letter by letter, so that none can do anything where it is shown."""


def plain(text: str) -> str:
    """Write a name with what cannot be seen (control characters, escapes, marks of direction) as backslash escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
