"""core/filter_text.py: the SData query language is read as SData says, and written so that it reads back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.filter_expressions import (
    And,
    Arithmetic,
    Between,
    Call,
    Comparison,
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
    fields,
)
from tallystick.core.filter_text import (
    DEPTH_LIMIT,
    DIGIT_LIMIT,
    LENGTH_LIMIT,
    MEMBER_LIMIT,
    NODE_LIMIT,
    parse,
    text,
)
from tallystick.errors import FilterError

A, B, C = Field("a"), Field("b"), Field("c")


def equal(left, right):
    return Comparison("eq", left, right)


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        ("17", Number(17)),
        ("-17", Number(-17)),
        ("17.0", Number(17)),
        ("-0.0", Number(0)),
        ("10.50", Number(Decimal("10.5"))),
        ("-0.5", Number(Decimal("-0.5"))),
        ("0.1234567890123456789012345678901", Number(Decimal("0.1234567890123456789012345678901"))),
        ("-9223372036854775808", Number(-(2**63))),
        ("'GB'", Text("GB")),
        ('"GB"', Text("GB")),
        ('"Maxim\'s"', Text("Maxim's")),
        ("'Maxim''s'", Text("Maxim's")),
        ('"a""b"', Text('a"b')),
        ("''", Text("")),
        ("'é 字 😀'", Text("é 字 😀")),
        ("@2008-05-19@", Moment("2008-05-19 00:00:00.000000")),
        ("@2008-05-19T18:41:00Z@", Moment("2008-05-19 18:41:00.000000")),
        ("@2008-05-19T18:41:00@", Moment("2008-05-19 18:41:00.000000")),
        ("@2008-05-19T18:41:00+02:00@", Moment("2008-05-19 16:41:00.000000")),
        ("@2008-05-19T18:41:00.25Z@", Moment("2008-05-19 18:41:00.250000")),
        ("true", Truth(True)),
        ("FALSE", Truth(False)),
        ("null", Null()),
    ),
)
def test_a_literal_is_read_by_its_form(source, expected):
    assert parse(source) == expected


@pytest.mark.parametrize(
    ("source", "name"),
    (
        ("name", "name"),
        ("$uuid", "$uuid"),
        ("$updated", "$updated"),
        ("address.city", "address.city"),
        ("Straße", "Straße"),
        ("_x1", "_x1"),
        ("[order date]", "order date"),
        ("[a]]b]", "a]b"),
        ("[and]", "and"),
        ("address.[post code]", "address.post code"),
        ("[100%]", "100%"),
    ),
)
def test_a_property_is_named_plainly_or_in_brackets(source, name):
    assert parse(source) == Field(name)


@pytest.mark.parametrize(
    ("source", "expected"),
    (
        (
            "2 mul 5 + 3 mul 2",
            Arithmetic("+", Arithmetic("mul", Number(2), Number(5)), Arithmetic("mul", Number(3), Number(2))),
        ),
        (
            "2 mul (5 + 3) mul 2",
            Arithmetic("mul", Arithmetic("mul", Number(2), Arithmetic("+", Number(5), Number(3))), Number(2)),
        ),
        ("a - b - c", Arithmetic("-", Arithmetic("-", A, B), C)),
        ("a - (b - c)", Arithmetic("-", A, Arithmetic("-", B, C))),
        ("a eq 1 or b eq 2 and c eq 3", Or((equal(A, Number(1)), And((equal(B, Number(2)), equal(C, Number(3))))))),
        ("(a eq 1 or b eq 2) and c eq 3", And((Or((equal(A, Number(1)), equal(B, Number(2)))), equal(C, Number(3))))),
        ("a eq b eq c", equal(equal(A, B), C)),
        ("not a eq b", equal(Not(A), B)),
        ("not (a eq b)", Not(equal(A, B))),
        ("not not a", Not(Not(A))),
        ("-a mul b", Arithmetic("mul", Negate(A), B)),
        ("- -a", Negate(Negate(A))),
        ("-(5)", Negate(Number(5))),
        ("a - -5", Arithmetic("-", A, Number(-5))),
        ("a between 1 and 2 and b", And((Between(A, Number(1), Number(2)), B))),
        ("a in (1, 'x', b)", In(A, (Number(1), Text("x"), B))),
        ("a like '%x_'", Like(A, "%x_")),
        ("left(a, 1) eq 'A'", equal(Call("left", (A, Number(1))), Text("A"))),
        ("left eq right", equal(Field("left"), Field("right"))),
        ("a EQ 1 AND b Ne 2", And((equal(A, Number(1)), Comparison("ne", B, Number(2))))),
        ("  a\teq\n1 ", equal(A, Number(1))),
        ("a+b", Arithmetic("+", A, B)),
    ),
)
def test_operators_bind_as_sdata_says(source, expected):
    assert parse(source) == expected


@pytest.mark.parametrize(
    ("source", "complaint"),
    (
        ("", "at its end"),
        ("   ", "at its end"),
        ("a eq", "at its end"),
        ("a eq 'x", "character 6"),
        ("a = 1", "character 3"),
        ("a eq 1 b", "an operator or the end"),
        ("(a eq 1", "')' is expected"),
        ("a eq 1)", "an operator or the end"),
        ("a in ()", "a name, a value"),
        ("a in 1", "'(' is expected"),
        ("a between 1 or 2", "'and' is expected"),
        ("a like b", "pattern in quotes"),
        ("a.", "a name is expected after '.'"),
        ("a eq @tomorrow@", "this is no date"),
        ("a eq @2024-02-30@", "this is no date"),
        ("a eq 9223372036854775808", "more than 64 bits"),
        ("a eq " + "9" * (DIGIT_LIMIT + 1), "too long"),
        ("a eq 1; drop table x", "character 7"),
        ("a eq 'x' -- y eq", "at its end"),
        ("[]", "character 1"),
        ("a eq '\0'", "no database stores"),
        ("a eq '\ud800'", "no database stores"),
    ),
)
def test_what_is_not_the_language_is_refused_with_the_place(source, complaint):
    with pytest.raises(FilterError) as caught:
        parse(source)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "source",
    (
        "(" * 100_000,
        "(" * 8_000,
        "not " * 4_000 + "a",
        "- " * 8_000 + "1",
        "abs(" * 4_000,
        "a in (" * 2_000,
        "1" + " + 1" * 4_000,
        "a eq 1" + " eq 1" * 3_000,
    ),
)
def test_deep_nesting_is_an_error_of_its_own_never_a_recursion_error(source):
    with pytest.raises(FilterError):
        parse(source)


def test_a_filter_within_the_limits_passes_and_one_step_beyond_does_not():
    deepest = "(" * DEPTH_LIMIT + "a" + ")" * DEPTH_LIMIT
    assert parse(deepest) == A
    longest = "a" * LENGTH_LIMIT
    assert parse(longest) == Field(longest)
    widest = "a in (" + ",".join("1" * MEMBER_LIMIT) + ")"
    assert len(parse(widest).members) == MEMBER_LIMIT
    most = " or ".join("a" for _ in range(NODE_LIMIT - 1))
    assert len(parse(most).conditions) == NODE_LIMIT - 1
    for beyond in (f"({deepest})", longest + "a", widest.replace("(1", "(1,1"), most + " or a"):
        with pytest.raises(FilterError):
            parse(beyond)


def test_the_fields_of_a_filter_are_all_the_properties_it_looks_at():
    source = "$key eq 'x' or not (a.b in (c, 1) and left(d, 1) like 'x') or -e between f and g + h"
    assert fields(parse(source)) == {"$key", "a.b", "c", "d", "e", "f", "g", "h"}


@pytest.mark.parametrize(
    ("source", "written"),
    (
        ('  NAME   eq "O\'Neill"', "NAME eq 'O''Neill'"),
        ("((a eq 1))", "a eq 1"),
        ("(a or b) and c", "(a or b) and c"),
        ("a or (b and c)", "a or b and c"),
        ("(a and b) and c", "(a and b) and c"),
        ("a eq 1.50", "a eq 1.5"),
        ("a eq @2008-05-19T00:00:00Z@", "a eq @2008-05-19@"),
        ("a eq @2008-05-19T18:41:00.5+02:00@", "a eq @2008-05-19T16:41:00.5Z@"),
        ("LEFT( a ,1 )", "left(a, 1)"),
        ("[name]", "name"),
        ("[Not]", "[Not]"),
        ("a mul (b + c)", "a mul (b + c)"),
        ("a eq (b eq c)", "a eq (b eq c)"),
        ("a in (1,2)", "a in (1, 2)"),
    ),
)
def test_a_filter_has_one_text(source, written):
    assert text(parse(source)) == written


storable = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)
names = st.one_of(
    st.sampled_from(("a", "b", "$key", "order date", "and", "True", "x.y", "a]b", "1st", ".", "a..b", "left")),
    storable.filter(bool),
)
decimals = st.decimals(-(10**12), 10**12, places=3).filter(lambda value: value % 1 != 0)
leaves = st.one_of(
    names.map(Field),
    st.integers(-(2**63), 2**63 - 1).map(Number),
    decimals.map(lambda value: Number(Decimal(format(value, "f").rstrip("0")))),
    storable.map(Text),
    st.booleans().map(Truth),
    st.just(Null()),
    st.datetimes().map(lambda moment: Moment(moment.isoformat(" ", "microseconds"))),
)


def branches(inner):
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        inner.map(Negate).filter(lambda found: not isinstance(found.operand, Null)),
        inner.map(Not),
        st.builds(Arithmetic, st.sampled_from(("+", "-", "mul", "div", "mod")), inner, inner),
        st.builds(Comparison, st.sampled_from(("eq", "ne", "lt", "le", "gt", "ge")), inner, inner),
        st.builds(Between, inner, inner, inner),
        st.builds(In, inner, several),
        st.builds(Like, inner, storable),
        several.map(And),
        several.map(Or),
        st.builds(Call, st.sampled_from(("left", "concat", "f")), st.lists(inner, max_size=3).map(tuple)),
    )


@given(st.recursive(leaves, branches, max_leaves=12))
def test_every_expression_reads_back_from_its_text(expression):
    written = text(expression)
    assert parse(written) == expression
    assert text(parse(written)) == written


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_and_never_breaks_the_reader(source):
    try:
        found = parse(source)
    except FilterError:
        return
    assert parse(text(found)) == found
