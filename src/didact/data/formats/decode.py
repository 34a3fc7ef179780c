"""Text from a file, which must be UTF-8."""

from pathlib import Path

from didact.data.raw import Problem
from didact.errors import DataError


def decode(path: Path, name: str) -> str | Problem:
    """The text of a file, without a byte-order mark and with its own line ends; or which byte is not UTF-8.

    Args:
        path: The file.
        name: How messages call it.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8; save the file as UTF-8"
        return Problem(f"{name}:{line}", what)


def read_text(path: Path, name: str) -> str:
    """The text of a file that is useless unless all of it is text.

    Raises:
        DataError: The file is not UTF-8.
    """
    text = decode(path, name)
    if isinstance(text, Problem):
        raise DataError(str(text), [text])
    return text
