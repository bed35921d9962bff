"""Text table for the terminal."""

from collections.abc import Iterable, Sequence


def text_table(header: Sequence, rows: Iterable[Sequence]) -> str:
    """Table of rows under a header, cells printed by str; the first column is aligned left and the others right."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )
