"""The listings that our modules are timed against compute what the originals compute."""

from __future__ import annotations

import pytest
from torch import nn

from benchmarks import listings, listings_grouped
from tests.models.attention.golden import Golden

CASES = [
    (listings.SimAM(32), "simam", "official"),
    (listings.GAM(32), "gam", "channel_sigmoid"),
    (listings.CBAM(32), "cbam", "official"),
    (listings.NAM(32), "nam", "channel_official"),
    (listings.DoubleAttention(32, c_m=16, c_n=8), "double_attention", "official"),
    (listings.CoordAttention(32), "coord_att", "official"),
    (listings.ACmix(32), "acmix", "official"),
    (listings.SE(32), "se", "official"),
    (listings.BAM(32), "bam", "fixed_mul"),
    (listings.ECA(32), "eca", "official"),
    (listings.TripletAttention(32), "triplet", "official"),
    (listings_grouped.ShuffleAttention(32), "shuffle_attention", "official"),
    (listings_grouped.EMA(32, factor=8), "ema", "official"),
    (listings_grouped.GlobalContext(32, ratio=0.25), "global_context", "official"),
    (listings_grouped.SK(32, groups=1), "sk", "timm"),
    (listings_grouped.LSK(32), "lsk", "official"),
    (listings_grouped.LSKA(32), "lska", "k7"),
    (listings_grouped.LSKA(32, k_size=23), "lska", "k23"),
]


@pytest.mark.parametrize(
    ("module", "file", "variant"), CASES, ids=[f"{file}-{variant}" for _, file, variant in CASES]
)
def test_a_listing_is_the_original(module: nn.Module, file: str, variant: str) -> None:
    Golden(file).check(module, variant, "20x20" if file == "sk" else "7x13")
