"""Small JSON files, read with suspicion."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pellucid.errors import InputError
from pellucid.io.files import content

Checked = TypeVar("Checked", bound=BaseModel)
MOST_SAID = 3  # faults that are written out


def read_checked(path: Path, model: type[Checked], *, what: str, largest: int) -> Checked:
    """A JSON file as ``model``.

    Raises:
        InputError: missing, larger than ``largest`` bytes, or not what it should be; says where.
    """
    data = content(path, at_most=largest + 1)
    if len(data) > largest:
        raise InputError(f"{path} is larger than {largest:,} bytes: it is no {what}; give the file that the form saved")
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        said = "; ".join(_sentence(e["loc"], e["msg"]) for e in faults[:MOST_SAID])
        more = f" and {len(faults) - MOST_SAID} more" if len(faults) > MOST_SAID else ""
        raise InputError(f"{path} is no {what}: {said}{more}; ask for the file again, as the form saved it") from error


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(p) for p in place)
    message = message.removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
