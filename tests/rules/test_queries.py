"""What the query string of a list means (core contract, section 6)."""

import base64
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Problem
from app.matching import build_tests, matches, paginate, sort_key
from app.parsing.parameters import Fields
from app.parsing.queries import Limits, Query, next_query, parse, project, token, token_after
from backends.codec import dumps
from backends.storage import MISSING, NEWEST_FIRST, Filter, Order, Stored
from tests.support import model

LIST = "/buckets/b/collections/c/records"
NOW = 1_700_000_000_000
DAY = 86_400_000
LIMITS = Limits(None, 10_000)
ENTRY_FIELDS = frozenset({"uri", "resource_name", "bucket_id", "id"})


def query(text: str, limits: Limits = LIMITS, **arguments: Any) -> Query:
    return parse(parse_qsl(text, keep_blank_values=True), LIST, limits, NOW, **arguments)


def wrong(name: str | None, description: str, location: str = "querystring") -> Problem:
    return Problem(location, name, description)


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("1", 1),
            ("1.0", 1.0),
            ("1e3", 1000.0),
            ("-0.5", -0.5),
            ("true", True),
            ("null", None),
            ("[1]", [1]),
            ('{"a":[null]}', {"a": [None]}),
            ("abc", "abc"),
            ('"12"', "12"),
            ("", ""),
            ("01", "01"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("1e400", "1e400"),
            ('"\\ud800"', '"\\ud800"'),
            ('"\\ud83d\\ude00"', "\U0001f600"),
            (str(2**65), 2**65),
            ("1" + "0" * 400, 10**400),
            ("9" * 5000, "9" * 5000),
            ("[1", "[1"),
            ("[" * 99 + "]" * 99, json.loads("[" * 99 + "]" * 99)),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_a_value_is_json_or_text(self, text: str, value: Any) -> None:  # C-LIST-6, C-LIST-8
        [condition] = parse([("s", text)], LIST, LIMITS, NOW).filters

        assert condition == Filter(("s",), "eq", value)
        assert type(condition.value) is type(value)

    @pytest.mark.parametrize("depth", [101, 5000, 100_000])
    def test_a_value_is_refused_when_it_is_nested_too_deeply(self, depth: int) -> None:
        page_query = parse([("s", "[" * depth + "]" * depth)], LIST, LIMITS, NOW)

        assert page_query.refusal == wrong("s", "Invalid value for s")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("s", "a\0"),
            ("a\0b", "x"),
            ("s", '"\\u0000"'),
            ("s", '[{"\\u0000":1}]'),
            ("in_s", "a,\0"),
            ("like_s", "\0"),
            ("contains_s", "\0"),
            ("has_s", "\0"),
            ("in_id", "\0"),
        ],
    )
    def test_a_null_character_is_refused(self, name: str, value: str) -> None:  # C-LIST-59
        assert parse([(name, value)], LIST, LIMITS, NOW).refusal == wrong(name, "Invalid character 0x00")

    def test_an_escaped_backslash_is_no_null_character(self) -> None:
        assert query(r's="\\u0000"').filters == (Filter(("s",), "eq", r"\u0000"),)


class TestFilters:
    @pytest.mark.parametrize(
        ("text", "filters"),
        [
            ("n=1", [Filter(("n",), "eq", 1)]),
            ("eq_n=1", [Filter(("n",), "eq", 1)]),
            ("not_n=1", [Filter(("n",), "not", 1)]),
            ("gt_n=1", [Filter(("n",), "gt", 1)]),
            ("min_n=1", [Filter(("n",), "min", 1)]),
            ("lt_n=1", [Filter(("n",), "lt", 1)]),
            ("max_n=1", [Filter(("n",), "max", 1)]),
            ('in_n=1,a,"2",', [Filter(("n",), "in", (1, "a", "2"))]),
            ("exclude_n=", [Filter(("n",), "exclude", ())]),
            ("like_n=oo", [Filter(("n",), "like", "*oo*")]),
            ("like_n=*o", [Filter(("n",), "like", "*o")]),
            ('like_n="1"', [Filter(("n",), "like", "*1*")]),
            ("has_n=true", [Filter(("n",), "has", True)]),
            ("has_n=0", [Filter(("n",), "has", False)]),
            ("has_n=", [Filter(("n",), "has", False)]),
            ("has_n=[]", [Filter(("n",), "has", False)]),
            ("has_n=null", [Filter(("n",), "has", False)]),
            ("has_n=no", [Filter(("n",), "has", True)]),
            ("contains_n=a", [Filter(("n",), "contains", ["a"])]),
            ("contains_n=[1,2]", [Filter(("n",), "contains", [1, 2])]),
            ("contains_any_n=[]", [Filter(("n",), "contains_any", [])]),
            ("contains_any=1", [Filter(("any",), "contains", [1])]),
            ("person.name=x", [Filter(("person", "name"), "eq", "x")]),
            ("min_a.b_c=x", [Filter(("a", "b_c"), "min", "x")]),
            ("min_a-b=1", [Filter(("min_a-b",), "eq", 1)]),
            ("min_=1", [Filter(("min_",), "eq", 1)]),
            ("eq=1", [Filter(("eq",), "eq", 1)]),
            ("%20n%20=1", [Filter(("n",), "eq", 1)]),
            ("N=1", [Filter(("N",), "eq", 1)]),
            ("_x=1&__n=2&_Limit=3", []),
            ("a=1&b=2", [Filter(("a",), "eq", 1), Filter(("b",), "eq", 2)]),
            ("n=1&n=2", [Filter(("n",), "eq", ["1", "2"])]),
            ("eq_n=1&eq_n=2", [Filter(("n",), "eq", ["1", "2"])]),
            ("in_n=1,2&in_n=3", [Filter(("n",), "in", (1, 2, 3))]),
            ("min_n=1&min_n=2", [Filter(("n",), "min", ["1", "2"])]),
            ("has_n=0&has_n=0", [Filter(("n",), "has", True)]),
            ("contains_n=1&contains_n=2", [Filter(("n",), "contains", ["1", "2"])]),
        ],
    )
    def test_a_parameter_means_filters(self, text: str, filters: list[Filter]) -> None:  # C-LIST-4 to C-LIST-24
        page_query = query(text)

        assert page_query.filters == tuple(filters)
        assert page_query.problems == ()
        assert page_query.refusal is None

    @pytest.mark.parametrize(
        ("text", "filters"),
        [
            ('id="12"', [Filter(("id",), "eq", "12")]),
            ("id=ab", [Filter(("id",), "eq", "ab")]),
            ("gt_id=12", [Filter(("id",), "gt", "12")]),
            ("not_id=1.0", [Filter(("id",), "not", "1.0")]),
            ("like_id=12", [Filter(("id",), "like", "*12*")]),
            ('in_id=a,"12"', [Filter(("id",), "in", ("a", "12"))]),
            ("has_id=0", [Filter(("id",), "has", False)]),
        ],
    )
    def test_an_id_is_text(self, text: str, filters: list[Filter]) -> None:  # C-LIST-12
        assert query(text).filters == tuple(filters)

    @pytest.mark.parametrize(
        ("text", "refusal"),
        [
            ("like_s=1", wrong("like_s", "Invalid value for like_s")),  # C-LIST-15
            ("like_s=true", wrong("like_s", "Invalid value for like_s")),
            ("in_id=1,a", wrong("in_id", "Invalid value for in_id")),  # C-LIST-12
            ("exclude_id=null", wrong("exclude_id", "Invalid value for exclude_id")),
            ("in_last_modified=1", wrong("in_last_modified", "Invalid value for in_last_modified")),  # C-LIST-13
            ("exclude_last_modified=", wrong("exclude_last_modified", "Invalid value for exclude_last_modified")),
            ("contains_id=a", wrong("contains_id", "Field 'id' is not an array")),  # C-LIST-20
            (
                "contains_any_last_modified=1",
                wrong("contains_any_last_modified", "Field 'last_modified' is not an array"),
            ),
            ("gt_last_modified=abc", wrong("gt_last_modified", "Invalid value for gt_last_modified")),
            ("like_a=1&like_b=1&_token=x", wrong("like_a", "Invalid value for like_a")),
        ],
    )
    def test_the_first_filter_that_cannot_be_is_refused(self, text: str, refusal: Problem) -> None:  # C-URL-28
        page_query = query(text)

        assert page_query.refusal == refusal
        assert page_query.problems == ()

    def test_an_id_is_malformed_when_it_is_a_number(self) -> None:  # C-LIST-12
        assert query("id=12&_limit=x").problems == (
            wrong("id", "12 is not a string: {'id': ''}"),
            wrong("_limit", '"x" is not a number'),
        )

    @pytest.mark.parametrize("text", ["secret=x", "like_secret=x", "min_secret.a=x", "has_secret=true"])
    def test_a_private_field_cannot_be_filtered_by(self, text: str) -> None:  # P-ACC-26
        name = text.partition("=")[0]

        page_query = query(text, fields=Fields(private=frozenset({"secret"})))

        assert page_query.refusal == wrong(name, f"Invalid value for {name}")
        assert page_query.filters == ()

    def test_a_query_is_refused_when_it_has_more_filters_than_databases_take(self) -> None:
        page_query = query("&".join(f"f{number}=1" for number in range(2000)))

        assert page_query.refusal == wrong("f100", "More than 100 filters")
        assert len(page_query.filters) == 100

    def test_a_path_is_no_longer_than_documents_are_deep(self) -> None:
        assert len(query("a" + ".a" * 5000 + "=1").filters[0].path) == 101

    @pytest.mark.parametrize("text", ["in_n=" + ",".join("1" * 10_001), "exclude_id=" + ",".join("a" * 10_001)])
    def test_a_filter_is_refused_when_it_has_more_values_than_databases_take(self, text: str) -> None:
        assert query(text).refusal is not None


class TestTimestamps:
    @pytest.mark.parametrize(
        ("text", "operator"),
        [
            ("_since=", "gt"),
            ("_before=", "lt"),
            ("_to=", "lt"),
            ("last_modified=", "eq"),
            ("eq_last_modified=", "eq"),
            ("not_last_modified=", "not"),
            ("gt_last_modified=", "gt"),
            ("min_last_modified=", "min"),
            ("lt_last_modified=", "lt"),
            ("max_last_modified=", "max"),
        ],
    )
    @pytest.mark.parametrize(
        ("value", "timestamp"),
        [
            pytest.param("123", 123, id="bare"),
            pytest.param("%22123%22", 123, id="quoted as in an ETag"),
            pytest.param("1.5", 1, id="a fraction, which is cut"),
            pytest.param("0", 0, id="zero"),
            pytest.param(str(NOW + DAY), NOW + DAY, id="a day from now"),
        ],
    )
    def test_a_timestamp_filters_and_brings_tombstones(
        self, text: str, operator: str, value: str, timestamp: int
    ) -> None:  # C-LIST-25 to C-LIST-27, C-LIST-30
        page_query = query(text + value)

        assert page_query.filters == (Filter(("last_modified",), operator, timestamp),)
        assert page_query.tombstones
        assert page_query.problems == ()
        assert page_query.refusal is None

    def test_since_null_counts_as_absent(self) -> None:  # C-LIST-29
        assert query("_since=null").filters == ()
        assert not query("_since=null").tombstones

    @pytest.mark.parametrize("name", ["_before", "_to"])
    def test_nothing_is_before_null(self, name: str) -> None:
        """As in Kinto: a DELETE by a client without a timestamp deletes nothing."""
        assert query(f"{name}=null").filters == (Filter(("last_modified",), "lt", 0),)

    @pytest.mark.parametrize("name", ["last_modified", "not_last_modified", "gt_last_modified", "max_last_modified"])
    def test_null_is_no_timestamp(self, name: str) -> None:
        """As in Kinto: a DELETE with it deletes nothing."""
        assert query(f"{name}=null").refusal == wrong(name, f"Invalid value for {name}")

    @pytest.mark.parametrize("name", ["_since", "_before", "_to", "last_modified"])
    @pytest.mark.parametrize(
        ("value", "description"),
        [
            ("abc", '"abc" is not a number'),
            ("true", '"true" is not a number'),
            ("[1]", '"[1]" is not a number'),
            ("-1", "-1 is less than minimum value 0"),
            ("%22-1%22", "-1 is less than minimum value 0"),
            (str(2**63 + 1), f"{2**63 + 1} is greater than maximum value 9223372036854775808"),
        ],
    )
    def test_a_malformed_timestamp_is_a_problem(self, name: str, value: str, description: str) -> None:  # C-LIST-28
        page_query = query(f"{name}={value}")

        assert page_query.problems == (wrong(name, description),)
        assert page_query.refusal is None

    @pytest.mark.parametrize("name", ["_since", "_before", "_to", "last_modified", "min_last_modified"])
    @pytest.mark.parametrize("value", ["", "%22%22", str(NOW + DAY + 1), str(2**63)])
    def test_a_timestamp_that_cannot_be_is_refused(self, name: str, value: str) -> None:  # C-LIST-28
        page_query = query(f"{name}={value}")

        assert page_query.refusal == wrong(name, f"Invalid value for {name}")
        assert page_query.problems == ()

    @pytest.mark.parametrize("text", ["", "n=1", "_sort=last_modified", "deleted=true", "id=a"])
    def test_tombstones_stay_away_when_no_filter_bears_on_the_timestamp(self, text: str) -> None:  # C-LIST-30
        assert not query(text).tombstones

    @pytest.mark.parametrize("text", ["has_last_modified=true", "like_last_modified=a"])
    def test_tombstones_come_with_any_operator_on_the_timestamp(self, text: str) -> None:  # C-LIST-30
        assert query(text).tombstones

    def test_the_old_name_of_before_is_reported(self) -> None:  # C-LIST-26
        assert query("_to=1").deprecated_to
        assert not query("_before=1").deprecated_to

    @pytest.mark.parametrize("name", ["_limit", "_since", "_before", "_to", "last_modified"])
    def test_a_number_is_refused_when_it_is_given_twice(self, name: str) -> None:
        """As Kinto 26.5 does, also where both values are the same."""
        assert query(f"{name}=1&{name}=1").problems == (Problem("querystring", name, "\"['1', '1']\" is not a number"),)


class TestSort:
    @pytest.mark.parametrize(
        ("text", "order"),
        [
            pytest.param("", "-last_modified", id="newest first without a sort"),
            pytest.param("_sort=", "-last_modified", id="newest first with an empty one"),
            pytest.param("_sort=a,-b,c.d", "a -b c.d -last_modified", id="keys in both directions"),
            pytest.param("_sort=%2Ba,+b", "a b -last_modified", id="a plus sign or its space"),
            pytest.param("_sort=last_modified", "last_modified", id="oldest first"),
            pytest.param("_sort=-last_modified,a", "-last_modified a", id="the timestamp anywhere"),
            pytest.param("_sort=o.last_modified", "o.last_modified -last_modified", id="another timestamp"),
            pytest.param("_sort=a b,--c,,d-e,f", "f -last_modified", id="keys among what is none"),
            pytest.param("_sort=a,-a,b,a", "a b -last_modified", id="each key once"),
            pytest.param("_sort=a&_sort=b", "a b -last_modified", id="two sorts are one"),
            pytest.param("_sort=a,b&_sort=c", "c -last_modified", id="each of two sorts is one key"),
        ],
    )
    def test_a_sort_is_total(self, text: str, order: str) -> None:  # C-LIST-40, C-LIST-41, C-LIST-43, C-LIST-44
        expected = [Order(tuple(name.lstrip("-").split(".")), name.startswith("-")) for name in order.split()]

        assert query(text).order == tuple(expected)

    def test_a_private_field_cannot_be_sorted_by(self) -> None:  # P-ACC-26
        page_query = query("_sort=a,-secret.x", fields=Fields(private=frozenset({"secret"})))

        assert page_query.refusal == wrong("_sort", "Invalid value for _sort")
        assert page_query.order == NEWEST_FIRST

    def test_a_sort_is_refused_when_it_has_too_many_keys(self) -> None:
        text = "_sort=" + ",".join(f"f{number}" for number in range(21))

        assert query(text).refusal == wrong("_sort", "Invalid value for _sort")


class TestLimit:
    @pytest.mark.parametrize(
        ("text", "paginate_by", "maximum", "effective"),
        [
            pytest.param("", None, 100, 100, id="the maximum without anything else"),
            pytest.param("", 7, 100, 7, id="the default size"),
            pytest.param("_limit=3", 7, 100, 3, id="what is asked"),
            pytest.param("_limit=30", 7, 100, 7, id="never above the default"),
            pytest.param("_limit=300", None, 100, 100, id="never above the maximum"),
            pytest.param("", 300, 100, 100, id="not even by default"),
            pytest.param("_limit=0", 7, 100, 7, id="zero is absent"),
            pytest.param("_limit=", 7, 100, 7, id="empty is absent"),
            pytest.param("_limit=null", 7, 100, 7, id="null is absent"),
            pytest.param("_limit=2.9", 7, 100, 2, id="a fraction is cut"),
        ],
    )
    def test_the_size_of_a_page(self, text: str, paginate_by: int | None, maximum: int, effective: int) -> None:
        # C-LIST-45, C-LIST-46, C-LIST-49
        page_query = query(text, Limits(paginate_by, maximum))

        assert page_query.limit == effective
        assert page_query.problems == ()

    @pytest.mark.parametrize(
        ("value", "description"),
        [
            ("-1", "-1 is less than minimum value 0"),
            ("abc", '"abc" is not a number'),
            ("true", '"true" is not a number'),
        ],
    )
    def test_a_malformed_limit_is_a_problem(self, value: str, description: str) -> None:  # C-LIST-46
        assert query(f"_limit={value}").problems == (wrong("_limit", description),)

    def test_what_was_asked_is_known(self) -> None:
        assert query("_limit=30", Limits(7, 100)).requested_limit == 30
        assert query("_limit=0").requested_limit is None


def stored(document: dict[str, Any], object_id: str = "r1", timestamp: int = 5) -> Stored:
    return Stored(
        f"{LIST}/{object_id}", timestamp, False, 1, dumps({**document, "id": object_id, "last_modified": timestamp})
    )


class TestToken:
    @pytest.mark.parametrize(
        "value", [MISSING, None, "é", 1, 2**65, 1.5, True, [], [None, []], {"a": {}}, "x" * 1000], ids=str
    )
    def test_a_token_brings_the_sort_values_back(self, value: Any) -> None:  # C-LIST-53, C-LIST-54
        document = {} if value is MISSING else {"f": {"g": value}}
        made = token(query("_sort=-f.g,id"), [stored(document)], stored({}))

        assert query(f"_sort=-f.g,id&_token={made}").after == (value, "r1", 5, f"{LIST}/r1")

    def test_a_token_carries_a_nonce_when_it_is_given(self) -> None:  # C-OBJ-53
        made = token(query(""), [stored({})], stored({}), nonce="n")

        assert query(f"_token={made}").token_nonce == "n"
        assert query(f"_token={token(query(''), [stored({})], stored({}))}").token_nonce is None

    @pytest.mark.parametrize("text", ["", "null"])
    def test_an_empty_token_is_absent(self, text: str) -> None:  # C-LIST-51
        assert query(f"_token={text}").after is None
        assert query(f"_token={text}").refusal is None

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("abc", id="no base64"),
            pytest.param("é", id="no ASCII"),
            pytest.param("YWJj", id="no JSON"),
            pytest.param("_w==", id="no UTF-8"),
            pytest.param(encoded([]), id="a list"),
            pytest.param(encoded({}), id="nothing"),
            pytest.param(encoded({"last_object": {"last_modified": 1}, "offset": 1}), id="another server's"),
            pytest.param(encoded({"after": [[5]]}), id="no URI"),
            pytest.param(encoded({"after": [[5]], "uri": 5}), id="a URI that is a number"),
            pytest.param(encoded({"after": [[5]], "uri": "r"}), id="a URI that is none"),
            pytest.param(encoded({"after": [[5]], "uri": f"{LIST}/"[:-1]}), id="the list itself"),
            pytest.param(encoded({"after": [[5]], "uri": f"{LIST}/r/s"}), id="something below the list"),
            pytest.param(encoded({"after": [[5]], "uri": "/buckets/b/collections/d/records/r"}), id="another list"),
            pytest.param(encoded({"after": [[5]], "uri": f"{LIST}/\0"}), id="a null character in the URI"),
            pytest.param(encoded({"after": [], "uri": f"{LIST}/r"}), id="too few values"),
            pytest.param(encoded({"after": [[5], [6]], "uri": f"{LIST}/r"}), id="too many values"),
            pytest.param(encoded({"after": [5], "uri": f"{LIST}/r"}), id="bare values"),
            pytest.param(encoded({"after": [[5, 6]], "uri": f"{LIST}/r"}), id="two values for one key"),
            pytest.param(encoded({"after": {"0": [5]}, "uri": f"{LIST}/r"}), id="values in a mapping"),
            pytest.param(encoded({"after": [["5"]], "uri": f"{LIST}/r"}), id="a text as timestamp"),
            pytest.param(encoded({"after": [[True]], "uri": f"{LIST}/r"}), id="true as timestamp"),
            pytest.param(encoded({"after": [[5.0]], "uri": f"{LIST}/r"}), id="a fraction as timestamp"),
            pytest.param(encoded({"after": [[-1]], "uri": f"{LIST}/r"}), id="a negative timestamp"),
            pytest.param(encoded({"after": [[2**63]], "uri": f"{LIST}/r"}), id="a timestamp beyond 64 bits"),
            pytest.param(encoded({"after": [[]], "uri": f"{LIST}/r"}), id="a missing timestamp"),
            pytest.param(encoded({"after": [[5]], "uri": f"{LIST}/r", "nonce": 1}), id="a nonce that is a number"),
            pytest.param(encoded({"anchors": []}), id="no anchors"),
            pytest.param(encoded({"anchors": [["r", "d"]] * 5}), id="too many anchors"),
            pytest.param(encoded({"anchors": ["rd"]}), id="an anchor that is a text"),
            pytest.param(encoded({"anchors": [["r", 1]]}), id="a digest that is a number"),
            pytest.param(encoded({"anchors": [["r/s", "d"]]}), id="an anchor elsewhere"),
            pytest.param(encoded({"anchors": [["r" * 256, "d"]]}), id="an anchor with a long id"),
            pytest.param(encoded({"anchors": [["r\0", "d"]]}), id="an anchor with a null character"),
            pytest.param(encoded({"anchors": {"r": "d"}}), id="anchors in a mapping"),
            pytest.param(encoded({"after": "x" * 1_000_000, "uri": f"{LIST}/r"}), id="a huge one"),
            pytest.param(base64.b64encode(b'{"after":' + b"[" * 5000 + b"]" * 5000 + b"}").decode(), id="a deep one"),
            pytest.param(base64.b64encode(b'{"after":[[1e400]],"uri":"/a/b"}').decode(), id="no finite number"),
        ],
    )
    def test_a_forged_token_is_refused(self, text: str) -> None:  # C-LIST-51
        page_query = parse([("_token", text)], LIST, LIMITS, NOW)

        assert page_query.refusal == wrong(None, "_token has invalid content")
        assert page_query.after is None

    def test_a_token_is_refused_when_the_id_in_it_is_no_text(self) -> None:  # C-LIST-51
        text = encoded({"after": [[7], [5]], "uri": f"{LIST}/r"})

        assert query(f"_sort=id&_token={text}").refusal == wrong(None, "_token has invalid content")

    @given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(encoded))
    def test_whatever_is_no_token_is_refused(self, text: str) -> None:
        page_query = parse([("_token", text)], LIST, LIMITS, NOW)

        assert page_query.after is None
        assert (page_query.refusal is None) == (text in ("", "null"))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "_limit=3&_token=t%3D"),
            ("_limit=10&_fields=id", "_limit=3&_fields=id&_token=t%3D"),
            ("_token=old&_sort=%2Ba&s=%C3%A9&s=b", "_token=t%3D&_sort=%2Ba&s=b&_limit=3"),
        ],
    )
    def test_the_next_page_has_the_same_query(self, text: str, expected: str) -> None:  # C-LIST-47
        assert next_query(parse_qsl(text, keep_blank_values=True), 3, "t=") == expected


DOCUMENT = {"a": 1, "b": {"c": 1, "d": {"e": 2, "f": 3}}, "t": [1], "id": "r", "last_modified": 5}


class TestFields:
    @pytest.mark.parametrize(
        ("text", "reduced"),
        [
            pytest.param("a", {"a": 1}, id="one field"),
            pytest.param("b.c", {"b": {"c": 1}}, id="a nested one with what is around it"),
            pytest.param("b.c,b.d.e", {"b": {"c": 1, "d": {"e": 2}}}, id="two in one object"),
            pytest.param("b.c,b", {"b": DOCUMENT["b"]}, id="a part and the whole"),
            pytest.param("b,b.c", {"b": DOCUMENT["b"]}, id="the whole and a part"),
            pytest.param("t.x,a.y", {"t": [1], "a": 1}, id="what is no object as it is"),
            pytest.param("nope,nope.x, a", {"a": 1}, id="nothing for unknown names"),
            pytest.param("id", {}, id="id and timestamp always"),
        ],
    )
    def test_a_document_is_reduced(self, text: str, reduced: dict[str, Any]) -> None:  # C-LIST-56, C-LIST-58
        fields = query(f"_fields={text}").fields
        before = json.dumps(DOCUMENT)
        assert fields is not None

        assert project(DOCUMENT, fields) == {**reduced, "id": "r", "last_modified": 5}
        assert json.dumps(DOCUMENT) == before

    def test_a_tombstone_loses_deleted_unless_it_is_named(self) -> None:  # C-LIST-58
        tombstone = {"id": "r", "last_modified": 5, "deleted": True}

        assert project(tombstone, (("a",),)) == {"id": "r", "last_modified": 5}
        assert project(tombstone, (("deleted",),)) == tombstone

    @pytest.mark.parametrize("text", ["", "_fields=", "_fields=,%20,"])
    def test_nothing_is_reduced_when_no_field_is_named(self, text: str) -> None:  # C-LIST-58
        assert query(text).fields is None


class TestKnownFields:
    """Lists that may be asked for some fields only (C-UTIL-31, C-UTIL-32, P-HIST-10)."""

    @pytest.mark.parametrize(
        ("text", "refusal"),
        [
            ("min_permissions=1", wrong("min_permissions", "Unknown filter field 'min_permissions'")),
            ("uri.x=1", wrong("uri.x", "Unknown filter field 'uri.x'")),
            ("_sort=uri,-nope", wrong(None, "Unknown sort field 'nope'")),
            ("_fields=uri,permissions", wrong("Invalid _fields parameter", "Fields permissions do not exist", "body")),
        ],
    )
    def test_an_unknown_field_is_refused(self, text: str, refusal: Problem) -> None:
        assert query(text, fields=Fields(ENTRY_FIELDS)).refusal == refusal

    @pytest.mark.parametrize(
        ("text", "order"),
        [
            pytest.param("", "-uri", id="without a sort"),
            pytest.param("_sort=id", "id -uri", id="as the last key"),
            pytest.param("_sort=uri", "uri", id="unless it is a key already"),
            pytest.param("_sort=last_modified,-id", "-id -uri", id="without the timestamp"),
        ],
    )
    def test_entries_without_timestamp_are_sorted_by_uri(self, text: str, order: str) -> None:
        expected = [Order((name.lstrip("-"),), name.startswith("-")) for name in order.split()]

        assert query(text, fields=Fields(ENTRY_FIELDS)).order == tuple(expected)

    @pytest.mark.parametrize("text", ["last_modified=1", "_since=1", "gt_last_modified=1", "_before=2"])
    def test_timestamps_are_ignored_where_there_are_none(self, text: str) -> None:
        page_query = query(text, fields=Fields(ENTRY_FIELDS))

        assert (page_query.filters, page_query.problems) == ((), ())

    @pytest.mark.parametrize("text", ["last_modified=abc", "_since=abc", "in_last_modified=1"])
    def test_timestamps_that_are_none_are_refused_where_there_are_none(self, text: str) -> None:
        page_query = query(text, fields=Fields(ENTRY_FIELDS))

        assert page_query.problems or page_query.refusal

    def test_all_below_a_known_name_may_be_asked_for(self) -> None:
        known = frozenset({"target", "target.", "last_modified", "id"})

        page_query = query("target.data.v=2&_sort=target.data.w,target", fields=Fields(known))

        assert page_query.refusal is None
        assert page_query.filters == (Filter(("target", "data", "v"), "eq", 2),)
        assert page_query.order[-1:] == NEWEST_FIRST

    def test_digits_are_text_for_a_field_of_texts(self) -> None:  # P-HIST-10
        page_query = query("record_id=42&in_record_id=42,x&n=42", fields=Fields(strings=frozenset({"id", "record_id"})))

        assert [each.value for each in page_query.filters] == ["42", ("42", "x"), 42]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=2), some, max_size=3),
)
documents = st.dictionaries(st.sampled_from("fg"), values)
ORDER = (Order(("f",)), Order(("g",), descending=True))


class TestMatching:
    """What the storage does to objects, for what is none."""

    ENTRIES = tuple({"uri": f"/{number}", "id": str(number % 3)} for number in range(10))

    @given(st.lists(documents, max_size=4))
    def test_entries_are_sorted_as_objects_are(self, some: list[dict[str, Any]]) -> None:  # C-LIST-35 to C-LIST-39
        for number, document in enumerate(some):
            document["id"] = str(number)

        in_order = sorted(some, key=lambda document: sort_key(document, (*ORDER, Order(("id",), descending=True))))

        assert in_order == model.arrange(some, ORDER)

    @given(documents, values, st.sampled_from(["eq", "not", "gt", "min", "lt", "max"]))
    def test_entries_match_as_objects_do(self, document: dict[str, Any], value: Any, operator: str) -> None:
        condition = Filter(("f",), operator, value)

        assert matches(document, build_tests((condition,))) == model.holds(document, condition)

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("id=x", 0),
            ("not_id=1", 7),
            ('in_uri="/1",/2,/x', 2),
            ("exclude_uri=/1", 9),
            ("like_uri=/1*", 1),
            ("has_bucket_id=false", 10),
            ("contains_resource_name=a", 0),
            ("contains_any_resource_name=a", 0),
        ],
    )
    def test_entries_are_filtered(self, text: str, count: int) -> None:  # C-UTIL-31
        assert paginate(self.ENTRIES, query(text, fields=Fields(ENTRY_FIELDS))).total == count

    @pytest.mark.parametrize("sort", ["uri", "-uri", "id", "-id,uri", "bucket_id"])
    @pytest.mark.parametrize("size", [1, 3, 10])
    def test_pages_deliver_each_entry_once(self, sort: str, size: int) -> None:  # C-UTIL-31, C-LIST-53
        documents: list[Any] = []
        text = f"_sort={sort}&_limit={size}"
        more = True
        while more:
            page_query = query(text, fields=Fields(ENTRY_FIELDS))
            page = paginate(self.ENTRIES, page_query)
            documents += page.documents
            text = next_query(parse_qsl(text), page_query.limit, token_after(page_query, page.documents[-1]))
            more = bool(page.more)

        assert documents == list(paginate(self.ENTRIES, query(f"_sort={sort}", fields=Fields(ENTRY_FIELDS))).documents)
        assert len(documents) == len(self.ENTRIES) == page.total
