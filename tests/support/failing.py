"""What settings can name and nothing can start with: it raises, or it is something else."""

from typing import Any, Final, NoReturn

SECRET: Final = "pa55word"

number: Final = 1


def fail(*arguments: Any, **_: Any) -> NoReturn:
    """Raise an error of several lines that repeats the options of a policy or of a listener."""
    first = arguments[0] if arguments else None
    options = (
        first.get_settings() if first is not None and hasattr(first, "get_settings") else getattr(first, "options", "")
    )
    raise RuntimeError(f"first line {options}\nsecond line")


class Failing:
    """A class whose objects cannot be made."""

    def __init__(self, *arguments: Any, **_: Any) -> None:
        fail(*arguments)


attach = load_from_config = open_storage = engine_options = fail
