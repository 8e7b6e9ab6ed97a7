"""URLs to which tokens may be sent (plugins contract, 5.4)."""

from __future__ import annotations

import pytest

from blueprints.plugins.openid.callbacks import is_trusted, parse_pattern

TRUSTED = "https://trusted.com/* https://*.trusted.com/*"
ADMIN = "https://*.example.com:*/admin/*"


@pytest.mark.parametrize(
    ("patterns", "callback"),
    [
        (ADMIN, "https://a.example.com:8443/admin/#tokens="),
        (ADMIN, "https://a.b.example.com/admin/x?y=../z#/../"),
        (ADMIN, "HTTPS://A.Example.com/admin/"),
        ("https://example.com", "https://example.com:443/"),
        ("https://example.com:443/", "https://example.com"),
        ("http://example.com:80/*", "http://example.com/a"),
        ("https://example.com/*", "https://example.com?token="),
        ("http://[::1]:*/*", "http://[::1]:8000/"),
        ("https://x.org/a?b=*", "https://x.org/a?b=c"),
        (TRUSTED, "https://trusted.com/v1..2/file.html"),
        (TRUSTED, "https://trusted.com/é"),
        (TRUSTED, "https://trusted.com/#a\\b"),
    ],
)
def test_a_callback_is_trusted(patterns: str, callback: str) -> None:
    """P-OID-13."""
    assert is_trusted(callback, map(parse_pattern, patterns.split()))


@pytest.mark.parametrize(
    ("patterns", "callback"),
    [
        (ADMIN, "https://a.example.com:8443/other/"),
        (ADMIN, "https://a.example.com.evil.com/admin/"),
        (ADMIN, "https://evil.com/.example.com/admin/"),
        (ADMIN, "https://evil.com?.example.com/admin/"),
        (ADMIN, "https://evil.com#.example.com/admin/"),
        (ADMIN, "http://a.example.com/admin/"),
        ("https://example.com", "https://example.com/a"),
        ("https://example.com/*", "https://example.com:8443/"),
        ("http://[::1]:*/*", "http://[::2]:8000/"),
        ("https://x.org/a?b=*", "https://x.org/aab=c"),
        ("https://x.org/[a]", "https://x.org/a"),
        *((TRUSTED, callback) for callback in (
            "https://trusted.com@evil.com/", "https://evil.com\\.trusted.com/", "https://evil.com%2F.trusted.com/",
            "https://evil.com\t.trusted.com/", "https://evil.com_.trusted.com/", "https://@trusted.com/",
            "https://user:password@trusted.com/", "https://evil.com\n.trusted.com/", "https://evil.com .trusted.com/",
            "https://trusted.com:443:443/", "https://trusted.com:44x/", "https://trusted.com:/", "https://[::1x]/",
            "https://trusted.com:\u0664\u0664\u0663/",
            "https://trusted.com:0443/", "https://\u2025.trusted.com/", "https://\u212a.trusted.com/",
            "javascript://trusted.com/%0aalert(1)", "//trusted.com/", "https:/trusted.com/", "https:trusted.com/",
            "https:\\\\trusted.com/", " https://trusted.com/", "https://trusted.com/ ", "https://trusted.com/\n",
            "https://trusted.com/\u202ea", "https://trusted.com/\u00a0", "https://trusted.com/a\\b",
            "https://trusted.com/admin/../other/", "https://trusted.com/admin/%2e%2e/other/",
            "https://trusted.com/admin/%2E./other/", "https://trusted.com/./../", "https://trusted.com/..\\x",
            "https://trusted.com/admin/..", "https://trusted.com/..%2fother", "https://trusted.com/..%5cother",
            "https://trusted.com/.?x", "https://trusted.com/..#x", "", "https://", "https:///",
        )),
    ],
)  # fmt: skip
def test_a_callback_is_not_trusted(patterns: str, callback: str) -> None:
    """P-OID-13."""
    assert not is_trusted(callback, map(parse_pattern, patterns.split()))


@pytest.mark.parametrize(
    "pattern",
    ["trusted.com", "*://trusted.com/", "ftp://x.org/", "https://a@b/", "https://x:y/", "https://x/../*", "https://x/\\",
     "https://", "https://x y/", "https://[*/"],
)  # fmt: skip
def test_a_pattern_is_malformed(pattern: str) -> None:
    """Plugins contract, 5.4: refused at start."""
    with pytest.raises(ValueError, match="patterns like"):
        parse_pattern(pattern)
