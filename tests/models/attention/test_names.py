"""A suggestion means the same as the name that does not exist, or there is none."""

from __future__ import annotations

import pytest

from models.attention._names import same_meaning

ATTENTION = [
    *(
        "SE",
        "SK",
        "SEAM",
        "GAM",
        "NAM",
        "BAM",
        "SimAM",
        "LSKA",
        "LKA",
        "CoordAttention",
        "CoordAtt",
    ),
    *("TripletAttention", "DoubleAttention", "ECAAttention", "ShuffleAttention"),
]
BLOCKS = [
    *("GSConv", "Conv", "C3", "C2f", "Concat", "RFAConv", "nn.Upsample", "nn.ConvTranspose2d"),
    *("BiFPN_Concat2", "SPDConv", "Detect", "DWConv"),
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("simam", "SimAM"),
        ("SimAMAttention", "SimAM"),
        ("SinAM", "SimAM"),
        ("SimMA", "SimAM"),
        ("Covn", "Conv"),
        ("Concatt", "Concat"),
        ("TripleAttention", "TripletAttention"),
        ("Double_Attention", "DoubleAttention"),
        ("torch.nn.Upsampel", "nn.Upsample"),
        ("se_attention", "SE"),
        ("gsconv", "GSConv"),
        ("BAMLayer", "BAM"),
    ],
)
def test_what_means_the_same_is_suggested(word: str, meant: str) -> None:
    assert same_meaning(word, BLOCKS, ATTENTION) == f"; did you mean {meant}?"


@pytest.mark.parametrize(
    "word",
    [
        *("C3SE", "nn.Conv2d", "DySample", "Pose", "SCAM", "DSConv", "MCA", "LCA", "SGE", "SGAM"),
        *("BiFPN_Concat3", "RFCAConv", "PPA", "C4", "S2Attention", "Segment", "DLKA", "", "Add"),
        *("CoordConv", "Shuffle_Block", "C2fAttn", "DetectX", "DWConvblock", "Conv_CBAM", "SimAMX"),
    ],
)
def test_what_is_another_module_is_not(word: str) -> None:
    assert same_meaning(word, BLOCKS, ATTENTION) == ""
