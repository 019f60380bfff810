"""The frame of report.html: its policy allows its script, and its contents are escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from ablation.report.page import (
    TableEntry,
    TableHead,
    TableRow,
    html_figure,
    html_page,
    html_section,
    html_table,
)


def test_the_policy_allows_the_script_of_the_page() -> None:
    text = html_page("<title>", "<p>body</p>")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "<title>&lt;title&gt;</title>" in text


def test_tables_keep_the_values_to_sort_by() -> None:
    text = html_table(
        [TableHead("arm", 'a "hint"', False), TableHead("ms", "", True)],
        [TableRow("dominated", [TableEntry("<b>", "<b>"), TableEntry("1,000", "1000")])],
    )
    assert 'title="a &quot;hint&quot;"' in text
    assert '<tr class="dominated"><th data-value="&lt;b&gt;">&lt;b&gt;</th>' in text
    assert '<td class="number" data-value="1000">1,000</td>' in text


def test_an_empty_section_has_no_heading() -> None:
    assert html_section("Charts", "") == html_figure("", "", "chart", "caption") == ""
    assert html_section("A & B", "x").startswith("<h2>A &amp; B</h2>")
    assert html_figure("<svg/>", "<svg/>", "n", "<c>").count("<svg/>") == 2
