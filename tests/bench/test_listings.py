"""The listings that our modules are timed against compute what the originals compute."""

from __future__ import annotations

import pytest
from torch import nn

from bench import listings, listings_grouped
from tests.models.attention.golden import Golden

CASES = [
    (listings.ListedSimAM(32), "simam", "official"),
    (listings.ListedGAM(32), "gam", "channel_sigmoid"),
    (listings.ListedCBAM(32), "cbam", "official"),
    (listings.ListedNAM(32), "nam", "channel_official"),
    (listings.ListedDoubleAttention(32, c_m=16, c_n=8), "double_attention", "official"),
    (listings.ListedCoordAttention(32), "coord_att", "official"),
    (listings.ListedACmix(32), "acmix", "official"),
    (listings.ListedSE(32), "se", "official"),
    (listings.ListedBAM(32), "bam", "fixed_mul"),
    (listings.ListedECA(32), "eca", "official"),
    (listings.ListedTripletAttention(32), "triplet", "official"),
    (listings_grouped.ListedShuffleAttention(32), "shuffle_attention", "official"),
    (listings_grouped.ListedEMA(32, factor=8), "ema", "official"),
    (listings_grouped.ListedGlobalContext(32, ratio=0.25), "global_context", "official"),
    (listings_grouped.ListedSK(32, groups=1), "sk", "timm"),
    (listings_grouped.ListedLSK(32), "lsk", "official"),
    (listings_grouped.ListedLSKA(32), "lska", "k7"),
    (listings_grouped.ListedLSKA(32, k_size=23), "lska", "k23"),
]


@pytest.mark.parametrize(
    ("module", "file", "variant"), CASES, ids=[f"{file}-{variant}" for _, file, variant in CASES]
)
def test_a_listing_is_the_original(module: nn.Module, file: str, variant: str) -> None:
    Golden(file).check(module, variant, "20x20" if file == "sk" else "7x13")
