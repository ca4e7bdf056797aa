"""Which values an annotation accepts, and in which words that is told.

Understood are int, float, bool, str, Literal, list[T], unions, None, and `Annotated` with a Range
or a Length. Nothing is guessed: `true` is no number, 10.0 is no whole number, 'yes' is no truth
value.
"""

from __future__ import annotations

import sys
from math import inf, isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fedrun.core.option import Length, Range
from fedrun.experiment import suggest

NOUN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}


class RefusedError(ValueError):
    """A value that is not accepted: `reason` follows the value in a sentence, `where` its key."""

    def __init__(self, value: object, reason: str, where: str = "") -> None:
        super().__init__(reason)
        self.value, self.reason, self.where = value, reason, where


def convert(annotation: Any, value: Any) -> Any:
    """The value as its annotation wants it (an int becomes a float); else RefusedError."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if value == inf and any(isinstance(m, Range) and m.infinite for m in arguments[1:]):
            return inf
        if count := _length(arguments):
            converted: Any = _convert_list(get_args(arguments[0])[0], value, count)
        else:
            converted = convert(arguments[0], value)
        for mark in arguments[1:]:
            if isinstance(mark, Range) and converted not in mark:
                raise RefusedError(value, "is out of range")
        return converted
    if origin in (Union, UnionType):
        return _convert_union(arguments, value)
    if origin is Literal:
        if any(value == known and type(value) is type(known) for known in arguments):
            return value
        near = suggest.did_you_mean(
            suggest.nearest_value(str(value), [str(known) for known in arguments])
        )
        raise RefusedError(value, f"is not known{near}")
    if origin is list:
        return _convert_list(arguments[0], value)
    return _convert_plain(NoneType if annotation is None else annotation, value)


def _convert_plain(kind: type, value: Any) -> Any:
    if kind is float and type(value) in (int, float):
        if not (isinstance(value, int) or isfinite(value)) or abs(value) > sys.float_info.max:
            raise RefusedError(value, "is not a finite number")
        return float(value)
    if type(value) is kind:
        return value
    if kind is str and type(value) in (int, float, bool):
        raise RefusedError(value, f"is not text; in quotes it is: \"'{value}'\"")
    raise RefusedError(value, f"is not {NOUN[kind]}")


def _convert_union(members: tuple[Any, ...], value: Any) -> Any:
    """The one member that is of the value's own type decides, so that 1 stays a count and 1.0 is a
    fraction; an int goes to a float member only where no member is for ints."""
    rest = [member for member in members if member not in (None, NoneType)]
    if len(rest) == 1 and len(rest) < len(members):
        return None if value is None else convert(rest[0], value)
    kinds = {member: _kind(member) for member in members}
    fitting = [member for member, kind in kinds.items() if kind is type(value)]
    if not fitting and type(value) is int:
        fitting = [member for member, kind in kinds.items() if kind is float]
    if not fitting:
        fitting = [member for member, kind in kinds.items() if kind is Literal]
    refused = None
    for member in fitting:
        try:
            return convert(member, value)
        except RefusedError as error:
            refused = error
    if refused is not None and (len(fitting) == 1):
        raise refused
    raise RefusedError(value, "is not accepted here")


def _kind(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    return NoneType if annotation is None else origin or annotation


def _length(arguments: tuple[Any, ...]) -> int:
    """How many a list must hold; 0 is any number."""
    return next((mark.count for mark in arguments[1:] if isinstance(mark, Length)), 0)


def _convert_list(each: Any, value: Any, count: int = 0) -> list[Any]:
    if not isinstance(value, list):
        raise RefusedError(value, f"is not a list{_in_brackets(each, value, count or 1)}")
    if count and len(value) != count:
        raise RefusedError(value, f"is not a list of {count}")
    converted = []
    for position, item in enumerate(value):
        try:
            converted.append(convert(each, item))
        except RefusedError as error:
            where = f"[{position}]{error.where}"
            raise RefusedError(error.value, error.reason, where) from error
    return converted


def _in_brackets(each: Any, value: Any, count: int) -> str:
    """The mend for one thing where a list of `count` such things is due; else nothing."""
    try:
        convert(each, value)
    except RefusedError:
        return ""
    return f"; in brackets it is: [{','.join([shown(value)] * count)}]"


def accepted(annotation: Any) -> str:
    """What is accepted, in words.

    >>> accepted(Annotated[int, Range(low=1)])
    'a whole number of at least 1'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated and (count := _length(arguments)):
        return f"a list of {count}, each {accepted(get_args(arguments[0])[0])}"
    if origin is Annotated:
        limits = " and ".join(str(mark) for mark in arguments[1:] if isinstance(mark, Range))
        return (
            f"{accepted(arguments[0])}{' of' if limits.startswith('at') else ''} {limits}".rstrip()
        )
    if origin in (Union, UnionType):
        return " or ".join(accepted(member) for member in arguments)
    if origin is Literal:
        return ", ".join(str(known) for known in arguments)
    if origin is list:
        return f"a list, each {accepted(arguments[0])}"
    return NOUN[NoneType if annotation is None else annotation]


def type_text(annotation: Any) -> str:
    """The type as one writes it: `int`, `list[float]`, `a | b`, `int | null`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(type_text(member) for member in arguments)
    if origin is Literal:
        return " | ".join(str(known) for known in arguments)
    if origin is list:
        return f"list[{type_text(arguments[0])}]"
    return "null" if annotation in (None, NoneType) else str(annotation.__name__)


def understood(annotation: Any) -> bool:
    """Whether an option may have this annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return understood(arguments[0])
    if origin in (Union, UnionType, list):
        return all(understood(member) for member in arguments)
    return origin is Literal or annotation is None or annotation in NOUN


def shown(value: object) -> str:
    """A value as a config writes it, shortened."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, list):
        text = f"[{','.join(shown(item) for item in value[:20])}]"
    else:
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
