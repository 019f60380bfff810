"""The frame of report.html: its policy fits its script, and what it is given is escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from ablation.report.page import figure, page, section, table


def test_the_policy_names_the_script_that_is_there() -> None:
    text = page("<title>", "<p>body</p>")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "<title>&lt;title&gt;</title>" in text


def test_tables_keep_what_is_sorted_by() -> None:
    text = table(
        [("arm", 'a "hint"', False), ("ms", "", True)],
        [("dominated", [("<b>", "<b>"), ("1,000", "1000")])],
    )
    assert 'title="a &quot;hint&quot;"' in text
    assert '<tr class="dominated"><th data-value="&lt;b&gt;">&lt;b&gt;</th>' in text
    assert '<td class="number" data-value="1000">1,000</td>' in text


def test_what_is_empty_has_no_heading() -> None:
    assert section("Charts", "") == figure("", "", "chart", "caption") == ""
    assert section("A & B", "x").startswith("<h2>A &amp; B</h2>")
    assert figure("<svg/>", "<svg/>", "n", "<c>").count("<svg/>") == 2
