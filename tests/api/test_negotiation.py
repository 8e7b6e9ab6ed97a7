"""What clients accept and send: `Accept`, `Content-Type` and its charset (docs/contract/core.md 3.6)."""

from __future__ import annotations

import json
from encodings.aliases import aliases
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.parsing.bodies import is_charset
from blueprints.negotiation import not_acceptable
from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client

B = "/buckets/b"


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of a service with a bucket."""
    client = client_with({"kinto.experimental_permissions_endpoint": True})
    client.put(B)
    return client


# Each as Kinto 26.5 answers it. What is no `Accept` of RFC 9110 counts as absent.
ACCEPTED = """
text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2
text/html, image/gif, image/jpeg, *; q=.2
application/*
*/*;q=abc
application/json;q=2
application/json;q=-1
APPLICATION/JSON
application/json, text/plain, */*
application/*;q=0, application/json
*
garbage
a/b/c
application/json;
application/json,
;
;;
application
application/
/json
text/html;level=1, */*;q=0.1
text/html, *;q=0
text/html,garbage
application/json garbage
text/html\xe9
application/json;q=0.0001
application/json;q="0"
*/*;level=1
application/*;v=1
application/json;q=
application/json; q = 0.5
application/json ; q=0.5
application/json;q=0.5, application/json;q=0
application/json;v=1;q=0, application/json
application/json;v=1;q=0, */*
*/*;v=1;q=0, application/json
text/html text/plain
*/*;q=1.
q=1
*/*, */*;q=0
text/html;
text/html; ;q=1
text/html;level = 1
text/html;level
text/html;q=0.1234
text/html;q=1.0000
text/html;q=1.001
text/html;q=01
text/html;q=1;ext=
text/html;;q=1
text/html/x
text/html;q=.
te@t/html
Application/*;q=1
text/html;a="x
text/html;a=b c
""".strip().splitlines()
REFUSED = [
    "",
    "  ",
    *"""
text/html
text/*
application/json;q=0
application/json;q=0, */*
*/*;q=0
*/*;q=0.0
application/json;version=2
application/json; charset=utf-8
application/json;indent=4;q=0.5
application/*;q=0
,
*/json
text/html;level=1
application/vnd.api+json
application/json;q=0;q=1
application/json;q=0.000
application/json;a="x,y"
text/html;q=0
text/html;q=1;ext
application/json;v=1;q=0
application/json;q=0, application/json
*/*;Q=0
text/html,
text/html ;level=1
text/html\t
text/html,,text/plain
 text/html
text/html;level="a\\"b"
*/*;q=0, */*
application/*;q=0, */*
text/html;q=1.000
text/html;q=1;ext="a b"
text/html,text/plain ,
text/html;a=b;a=c
text/html;q=0.5 , text/plain
text/html;Q=0.5
text/html;q=0.
text/html;level=1;q=1;q=2;b
application/json;v=1, */*;q=0
application/JSON;q=0
application/json;a=b;q=1, application/json;q=0
text/html;a="\xe9"
text/html; a="x";q=0.3
""".strip("\n").splitlines(),
]


@pytest.mark.parametrize("accept", ACCEPTED)
def test_json_is_accepted_by(accept: str) -> None:
    """C-ERR-28, C-ERR-29 and docs/contract/DECISIONS.md."""
    assert not_acceptable(accept) is None


@pytest.mark.parametrize("accept", REFUSED)
def test_json_is_refused_by(accept: str) -> None:
    """C-ERR-28, C-ERR-29."""
    refusal = not_acceptable(accept)

    assert refusal is not None
    assert refusal.status == 406


@given(st.text('aqQ01.=;,/*" \t\\j-éx', max_size=60))
def test_json_that_comes_first_is_accepted_whatever_follows(accept: str) -> None:
    assert not_acceptable(f"application/json, {accept}") is None


@on_sqlite
@pytest.mark.parametrize("path", [B, "/buckets", "/permissions"])
@pytest.mark.parametrize(("accept", "status"), [(ACCEPTED[0], 200), (ACCEPTED[4], 200), ("text/html", 406), ("", 406)])
def test_single_requests_and_members_negotiate_alike(client: Client, path: str, accept: str, status: int) -> None:
    (entry,) = client.batch({"path": path, "headers": {"Accept": accept}}).json["responses"]

    assert client.get(path, accept=accept).status == status
    assert entry["status"] == status


JSON = json.dumps({"data": {"text": "é"}}, ensure_ascii=False)
READ: dict[str, tuple[str, bytes]] = {
    "no charset": ("", JSON.encode()),
    "an empty one": ("; charset=", JSON.encode()),
    "in quotes": ('; charset="utf-8"', JSON.encode()),
    "in single quotes": ("; charset='UTF8'", JSON.encode()),
    "another parameter": ("; version=1", JSON.encode()),
    "a parameter without value": (";charset", JSON.encode()),
    "latin-1": ("; charset=latin-1", JSON.encode("latin-1")),
    "its name in RFC 2978": ("; Charset=ISO-8859-1", JSON.encode("latin-1")),
    "ISO-8859-15": ("; charset=ISO-8859-15", JSON.encode("iso8859-15")),
    "windows-1252": ("; charset=windows-1252", JSON.encode("cp1252")),
    "UTF-16 with a mark": ("; charset=utf-16", JSON.encode("utf-16")),
    "UTF-16LE": ("; charset=utf-16le", JSON.encode("utf-16-le")),
    "UTF-32": ("; charset=utf-32", JSON.encode("utf-32")),
    "UTF-8 with a mark": ("; charset=utf-8-sig", JSON.encode("utf-8-sig")),
    "EBCDIC": ("; charset=cp037", JSON.encode("cp037")),
    "UTF-7": ("; charset=utf-7", JSON.encode("utf-7")),
}
WRITES = [
    ("PUT", B, "application/json", "/data"),
    ("POST", "/buckets", "application/json", "/data"),
    ("PATCH", B, "application/json", "/data"),
    ("PATCH", B, "application/merge-patch+json", "/data"),
]


@on_sqlite
@pytest.mark.parametrize(("method", "path", "media_type"), [write[:3] for write in WRITES])
@pytest.mark.parametrize(("parameter", "raw"), READ.values(), ids=READ.keys())
def test_a_body_is_decoded_as_declared(
    client: Client, method: str, path: str, media_type: str, parameter: str, raw: bytes
) -> None:
    """docs/contract/DECISIONS.md, as Kinto 26.5."""
    answer = client.ask(method, path, raw=raw, headers={"Content-Type": f"{media_type}{parameter}"})

    assert answer.status in (200, 201), answer.json
    assert answer.data["text"] == "é"


@on_sqlite
@pytest.mark.parametrize(("parameter", "encoding"), [("; charset=latin-1", "latin-1"), ("; charset=utf-16", "utf-16")])
def test_a_json_patch_and_a_batch_are_decoded_as_declared(client: Client, parameter: str, encoding: str) -> None:
    patch = json.dumps([{"op": "add", "path": "/data/text", "value": "é"}], ensure_ascii=False).encode(encoding)
    batch = json.dumps({"requests": [{"method": "PUT", "path": B, "body": json.loads(JSON)}]}, ensure_ascii=False)

    patched = client.ask("PATCH", B, raw=patch, headers={"Content-Type": f"application/json-patch+json{parameter}"})
    (entry,) = client.ask(
        "POST", "/batch", raw=batch.encode(encoding), headers={"Content-Type": f"application/json{parameter}"}
    ).json["responses"]

    assert patched.data["text"] == "é"
    assert entry["body"]["data"]["text"] == "é"


UNDECODABLE: dict[str, tuple[str, bytes]] = {
    "UTF-8 with a mark, undeclared": ("", JSON.encode("utf-8-sig")),
    "UTF-8 with a mark, as UTF-8": ("; charset=utf-8", JSON.encode("utf-8-sig")),
    "UTF-16, undeclared": ("", JSON.encode("utf-16")),
    "latin-1, undeclared": ("", JSON.encode("latin-1")),
    "not ASCII": ("; charset=ascii", JSON.encode()),
    "half of a unit": ("; charset=utf-16", b"\xff"),
    "a lone surrogate": ("; charset=utf-16le", b"\x00\xd8"),
    "a lone surrogate of UTF-7": ("; charset=utf-7", b'{"data":{"a":"+2AA-"}}'),
    "U+0000": ("; charset=utf-16le", '{"data":{"a":"\\u0000"}}'.encode("utf-16-le")),
}


@on_sqlite
@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET"])
@pytest.mark.parametrize(("parameter", "raw"), UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_a_body_that_is_not_in_its_charset_is_400(client: Client, method: str, parameter: str, raw: bytes) -> None:
    answer = client.ask(method, B, raw=raw, headers={"Content-Type": f"application/json{parameter}"})

    assert (answer.status, answer.json["errno"]) == (400, 107)


NO_CHARSETS = (
    *("nonsense", "base64", "base64_codec", "zlib", "zip", "bz2", "rot13", "rot_13", "hex", "quopri", "uu", "idna"),
    *("punycode", "undefined", "mbcs", "oem", "unicode_escape", "raw-unicode-escape", "unicode-escape", "../x"),
    *("aliases", "__init__", "a.b", "utf-8-nonsense", "utf-99", "%00", "*", "a b", "x" * 5000, "\xff\xfe"),
)


@on_sqlite
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", B), ("POST", "/buckets"), ("PATCH", B), ("GET", B), ("DELETE", B), ("POST", "/batch")],
)
def test_an_unknown_charset_is_415(client: Client, method: str, path: str) -> None:
    """docs/contract/DECISIONS.md: names of codecs that are no text count as unknown, on single requests and batches."""
    for charset in NO_CHARSETS:
        answer = client.ask(method, path, raw=b"{}", headers={"Content-Type": f'application/json; charset="{charset}"'})

        assert (answer.status, answer.json["errno"]) == (415, 107), charset
        assert answer.json["details"][0]["name"] == "Content-Type"
    assert client.get(B).status == 200


@on_sqlite
def test_a_member_of_an_unknown_charset_is_415_as_a_single_request_is(client: Client) -> None:
    headers = {"Content-Type": "application/json; charset=base64"}
    (entry,) = client.batch({"method": "PUT", "path": B, "body": {}, "headers": headers}).json["responses"]

    assert (entry["status"], entry["body"]["errno"]) == (415, 107)


@on_sqlite
@pytest.mark.parametrize("charset", ["nonsense", "latin-1"])
def test_no_body_has_no_charset(client: Client, charset: str) -> None:
    """As Kinto 26.5."""
    headers = {"Content-Type": f"application/json; charset={charset}"}

    assert client.ask("PUT", B, raw=b"", headers=headers).status == 200
    assert client.ask("GET", B, headers=headers).status == 200


def test_every_charset_is_text_that_takes_no_more_than_four_bytes_for_one() -> None:
    charsets = [charset for charset in {*aliases, *aliases.values()} if is_charset(charset)]

    decoded: dict[str, Any] = {charset: (b"+" * 1000).decode(charset, "replace") for charset in charsets}

    assert len(decoded) > 200
    assert all(isinstance(text, str) for text in decoded.values())
    assert max(len(text.encode("utf-8", "surrogatepass")) for text in decoded.values()) <= 4000


NO_JSON = [
    "text/plain",
    "text/plain; charset=utf-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "APPLICATION/JSON",
    "application/merge-patch+json",
    "application/vnd.api+json",
    "garbage",
    "application/json,text/plain",
    "application/json text/plain",
    "text/plain;application/json",
]


@on_sqlite
@pytest.mark.parametrize("content_type", NO_JSON)
@pytest.mark.parametrize("path", ["/batch", "/buckets"])
def test_a_post_of_another_type_is_415(client: Client, path: str, content_type: str) -> None:
    """C-ERR-30: forms of foreign pages can send some of these without asking."""
    member = {"method": "PUT", "path": "/buckets/foreign"}
    raw = json.dumps({"requests": [member]} if path == "/batch" else {"data": {"id": "foreign"}}).encode()

    answer = client.ask("POST", path, raw=raw, headers={"Content-Type": content_type})

    assert (answer.status, answer.json["errno"]) == (415, 107)
    assert [bucket["id"] for bucket in client.get("/buckets").data] == ["b"]


@on_sqlite
@pytest.mark.parametrize("headers", [{}, {"Content-Type": ""}])
def test_a_batch_without_type_is_json(client: Client, headers: dict[str, str]) -> None:
    """C-ERR-32, as Kinto 26.5."""
    assert client.ask("POST", "/batch", raw=b'{"requests":[]}', headers=headers).json == {"responses": []}
