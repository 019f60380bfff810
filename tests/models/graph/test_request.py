"""What --attention asks for, as text. Whether places exist is tested in test_sites.py."""

from __future__ import annotations

import pytest

from models.graph.request import read_request
from utils.errors import UserError


def test_the_parts_of_a_request() -> None:
    text = " CBAM : reduction=8, no_spatial=true @ neck.P3 + index 9"
    request = read_request(text)
    assert request.text == text
    assert (request.module, request.places) == ("CBAM", ("neck.P3", "index 9"))
    assert request.arguments == {"reduction": 8, "no_spatial": True}


def test_a_requests_own_init_counts_more_than_the_general_one() -> None:
    request = read_request("SimAM:e_lambda=1e-4,init=paper@neck", "identity")
    assert request.arguments == {"e_lambda": 1e-4, "init": "paper"}
    assert read_request("SimAM@neck", "identity").arguments == {"init": "identity"}


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="reduction: is given twice"):
        read_request("CBAM:reduction=8,reduction=4@neck")
