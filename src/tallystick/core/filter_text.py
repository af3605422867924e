"""Filters as text: the SData query language, read and written (SData 1.1 Core 2.12; spec/sdata.md 12).

Precedence, tightest first: ``.``; unary ``-`` and ``not``; ``mul div mod``; ``+ -``; ``eq ne lt le gt ge between in
like``; ``and``; ``or``. So ``not a eq 1`` is ``(not a) eq 1``: write ``not (a eq 1)``. Two things are ours: ``null``,
and ``[any name]`` for properties whose names are no identifiers (``]`` is doubled inside). Keywords and functions are
read in any case and written in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from tallystick.core.filter_expressions import (
    ADDITIONS,
    COMPARISONS,
    MULTIPLICATIONS,
    And,
    Arithmetic,
    Between,
    Call,
    Comparison,
    Expression,
    Field,
    In,
    Like,
    Moment,
    Negate,
    Not,
    Null,
    Number,
    Or,
    Text,
    Truth,
    walk,
)
from tallystick.core.filter_readings import INT64_MAX, INT64_MIN, as_moment
from tallystick.errors import FilterError

LENGTH_LIMIT = 16_384
"""Characters of one filter."""
DEPTH_LIMIT = 32
"""Levels of nesting of one filter."""
NODE_LIMIT = 500
"""Operators, properties, literals and calls of one filter, members of ``in`` lists not counted."""
MEMBER_LIMIT = 1_000
"""Members of one ``in`` list."""
DIGIT_LIMIT = 300
"""Digits of one number."""

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<moment>@[^@]*@)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<name>[^\W\d][\w]*|\$\w+)
    | (?P<quoted>\[(?:[^\]]|\]\])+\])
    | (?P<sign>[-+(),.])
    )""",
    re.VERBOSE,
)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"(?:[^\W\d]\w*|\$\w+)")
_KEYWORDS = frozenset(
    {*COMPARISONS, *MULTIPLICATIONS, "between", "in", "like", "and", "or", "not", "true", "false", "null"}
)


class _Token(NamedTuple):
    kind: str
    """text, moment, number, name, quoted, word (a keyword or sign) or end."""
    value: str
    start: int


def parse(source: str) -> Expression:
    """The expression that ``source`` says.

    Raises FilterError for anything that is not the language, and for what is longer or deeper than the limits
    above; show it to whoever wrote the filter.
    """
    if len(source) > LENGTH_LIMIT:
        raise FilterError(
            f"a filter of {len(source)} characters is too long",
            hint=f"keep filters within {LENGTH_LIMIT} characters",
        )
    if _UNSTORABLE.search(source):
        raise FilterError("a filter has a character that no database stores", hint="leave it out")
    parser = _Parser(source, _tokens(source))
    found = parser.disjunction()
    parser.expect_end()
    _check_size(found)
    return found


def _check_size(expression: Expression) -> None:
    nodes = members = 0
    for found, depth in walk(expression):
        if depth > DEPTH_LIMIT:
            raise _too_deep()
        nodes += 1
        if isinstance(found, In):
            members += len(found.members)
            if len(found.members) > MEMBER_LIMIT:
                raise FilterError("an 'in' list is too long", hint=f"list {MEMBER_LIMIT} members at most")
    if nodes - members > NODE_LIMIT:
        raise FilterError("a filter says too much at once", hint=f"keep it within {NODE_LIMIT} names and operators")


def _too_deep() -> FilterError:
    return FilterError("a filter is nested too deeply", hint=f"use {DEPTH_LIMIT} levels at most")


def _tokens(source: str) -> list[_Token]:
    found, position, end = [], 0, len(source.rstrip())
    while position < end:
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise _unreadable(source, position, "this cannot be read")
        kind, value = match.lastgroup, match.group(match.lastgroup)
        if kind == "sign" or (kind == "name" and value.lower() in _KEYWORDS):
            kind, value = "word", value.lower()
        found.append(_Token(kind, value, match.start(match.lastgroup)))
        position = match.end()
    found.append(_Token("end", "", len(source)))
    return found


def _unreadable(source: str, position: int, what: str) -> FilterError:
    rest = source[position:].lstrip()
    where = f"at {rest[:30]!r} (character {len(source) - len(rest) + 1})" if rest else "at its end"
    return FilterError(f"the filter {source[:200]!r}, {where}: {what}")


class _Parser:
    """One pass over the tokens; each method reads one level of precedence and leaves the rest."""

    def __init__(self, source: str, tokens: list[_Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.token
        self.position += 1
        return token

    def accept(self, *words: str) -> str | None:
        """Takes the next token if it is one of ``words``."""
        if self.token.kind == "word" and self.token.value in words:
            return self.take().value
        return None

    def expect(self, word: str) -> None:
        if self.accept(word) is None:
            raise self.unexpected(f"{word!r} is expected")

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected("an operator or the end is expected")

    def unexpected(self, what: str) -> FilterError:
        return _unreadable(self.source, self.token.start, what)

    def disjunction(self) -> Expression:
        conditions = [self.conjunction()]
        while self.accept("or"):
            conditions.append(self.conjunction())
        return conditions[0] if len(conditions) == 1 else Or(tuple(conditions))

    def conjunction(self) -> Expression:
        conditions = [self.comparison()]
        while self.accept("and"):
            conditions.append(self.comparison())
        return conditions[0] if len(conditions) == 1 else And(tuple(conditions))

    def comparison(self) -> Expression:
        left = self.sum()
        while operator := self.accept(*COMPARISONS, "between", "in", "like"):
            left = self.compared(left, operator)
        return left

    def compared(self, left: Expression, operator: str) -> Expression:
        if operator == "between":
            low = self.sum()
            self.expect("and")
            return Between(left, low, self.sum())
        if operator == "in":
            self.expect("(")
            return In(left, self.arguments(at_least_one=True))
        if operator == "like":
            if self.token.kind != "text":
                raise self.unexpected("'like' needs a pattern in quotes")
            return Like(left, _unquoted(self.take().value))
        return Comparison(operator, left, self.sum())

    def sum(self) -> Expression:
        left = self.product()
        while operator := self.accept(*ADDITIONS):
            left = Arithmetic(operator, left, self.product())
        return left

    def product(self) -> Expression:
        left = self.unary()
        while operator := self.accept(*MULTIPLICATIONS):
            left = Arithmetic(operator, left, self.unary())
        return left

    def unary(self) -> Expression:
        if self.accept("-"):
            if self.token.kind == "number":
                return self.number(self.take(), negative=True)
            return Negate(self.nested(self.unary))
        if self.accept("not"):
            return Not(self.nested(self.unary))
        if self.accept("("):
            found = self.nested(self.disjunction)
            self.expect(")")
            return found
        return self.atom()

    def nested(self, rule: Callable[[], Expression]) -> Expression:
        """What ``rule`` reads, one level deeper."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise _too_deep()
        found = rule()
        self.depth -= 1
        return found

    def atom(self) -> Expression:
        token = self.token
        match token.kind:
            case "number":
                return self.number(self.take())
            case "text":
                return Text(_unquoted(self.take().value))
            case "moment":
                return self.moment(self.take())
            case "name" | "quoted":
                return self.name()
        if self.accept("null"):
            return Null()
        if word := self.accept("true", "false"):
            return Truth(word == "true")
        raise self.unexpected("a name, a value or '(' is expected")

    def number(self, token: _Token, negative: bool = False) -> Number:
        if len(token.value) > DIGIT_LIMIT:
            raise _unreadable(self.source, token.start, "this number is too long")
        digits = "-" + token.value if negative else token.value
        if digits.rpartition(".")[2].strip("0") and "." in digits:
            return Number(Decimal(digits.rstrip("0")))
        whole = int(digits.partition(".")[0])
        if not INT64_MIN <= whole <= INT64_MAX:
            raise _unreadable(self.source, token.start, "this number has more than 64 bits")
        return Number(whole)

    def moment(self, token: _Token) -> Moment:
        found = as_moment(token.value[1:-1])
        if found is None:
            raise _unreadable(self.source, token.start, "this is no date; write @2008-05-19@ or @2008-05-19T18:41:00Z@")
        return Moment(found)

    def name(self) -> Expression:
        token = self.take()
        if token.kind == "name" and self.accept("("):
            return Call(token.value.lower(), self.arguments())
        names = [_plain(token)]
        while self.accept("."):
            if self.token.kind not in ("name", "quoted"):
                raise self.unexpected("a name is expected after '.'")
            names.append(_plain(self.take()))
        return Field(".".join(names))

    def arguments(self, at_least_one: bool = False) -> tuple[Expression, ...]:
        if not at_least_one and self.accept(")"):
            return ()
        found = [self.nested(self.disjunction)]
        while self.accept(","):
            found.append(self.nested(self.disjunction))
        self.expect(")")
        return tuple(found)


def _unquoted(literal: str) -> str:
    quote = literal[0]
    return literal[1:-1].replace(quote * 2, quote)


def _plain(token: _Token) -> str:
    return token.value[1:-1].replace("]]", "]") if token.kind == "quoted" else token.value


# Writing -------------------------------------------------------------------------------------------------------

_OR, _AND, _COMPARISON, _SUM, _PRODUCT, _UNARY, _ATOM = range(7)


def text(expression: Expression) -> str:
    """The one text of ``expression``: equal expressions give equal texts, and ``parse`` leads back to it."""
    return _write(expression, _OR)


def _write(expression: Expression, outer: int) -> str:
    """``expression`` as it stands where at least the precedence ``outer`` is needed."""
    precedence, written = _written(expression)
    return f"({written})" if precedence < outer else written


def _written(expression: Expression) -> tuple[int, str]:
    match expression:
        case Or(conditions):
            return _OR, " or ".join(_write(condition, _AND) for condition in conditions)
        case And(conditions):
            return _AND, " and ".join(_write(condition, _COMPARISON) for condition in conditions)
        case Comparison(operator, left, right):
            return _COMPARISON, f"{_write(left, _COMPARISON)} {operator} {_write(right, _SUM)}"
        case Between(value, low, high):
            return _COMPARISON, f"{_write(value, _COMPARISON)} between {_write(low, _SUM)} and {_write(high, _SUM)}"
        case In(value, members):
            return _COMPARISON, f"{_write(value, _COMPARISON)} in ({_listed(members)})"
        case Like(value, pattern):
            return _COMPARISON, f"{_write(value, _COMPARISON)} like {_quoted(pattern)}"
        case Arithmetic(operator, left, right):
            own = _SUM if operator in ADDITIONS else _PRODUCT
            return own, f"{_write(left, own)} {operator} {_write(right, own + 1)}"
        case Not(operand):
            return _UNARY, f"not {_write(operand, _UNARY)}"
        case Negate(Number() as operand):
            return _UNARY, f"-({_write(operand, _OR)})"
        case Negate(operand):
            return _UNARY, f"-{_write(operand, _UNARY)}"
        case Call(function, arguments):
            return _ATOM, f"{function}({_listed(arguments)})"
        case _:
            return _ATOM, _atom(expression)


def _listed(expressions: tuple[Expression, ...]) -> str:
    return ", ".join(_write(expression, _OR) for expression in expressions)


def _atom(expression: Expression) -> str:
    match expression:
        case Field(name):
            parts = name.split(".")
            return ".".join(_name(part) for part in parts) if all(parts) else _name(name)
        case Number(value):
            return format(value, "f") if isinstance(value, Decimal) else str(value)
        case Text(value):
            return _quoted(value)
        case Moment(value):
            return f"@{_moment(value)}@"
        case Truth(value):
            return "true" if value else "false"
        case _:
            return "null"


def _name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name) and name.lower() not in _KEYWORDS:
        return name
    return "[" + name.replace("]", "]]") + "]"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _moment(value: str) -> str:
    day, time = value.split(" ")
    if time == "00:00:00.000000":
        return day
    whole, fraction = time.split(".")
    fraction = fraction.rstrip("0")
    return f"{day}T{whole}{'.' + fraction if fraction else ''}Z"
