"""The words of the page in the languages that it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.evidence.studies import DELTA


@dataclass(frozen=True)
class Language:
    """What the page says in one language; templates have {marks} for figures.

    Attributes:
        suffix: of the page's file name.
        key: suffix of the facts in studies.yaml.
        outcomes: what a result is called.
        starts: how an attention starts, in a sentence.
        columns: the same as the end of a label.
        at: a place other than the neck, in a cell.
        ends: an interval.
        heads: the tables' headings, by the table.
        sets: one data set, and several.
        runs: a number of runs.
        quote: the sentence to quote.
        where: where the attention stands, in the neck and elsewhere.
        found: what was found, by the verdict.
        then: what is added, by the outcome.
    """

    suffix: str
    key: str
    outcomes: Mapping[str, str]
    starts: Mapping[str, str]
    columns: Mapping[str, str]
    comma: str
    at: str
    ends: str
    heads: Mapping[str, tuple[str, ...]]
    sets: tuple[str, str]
    runs: str
    quote: str
    where: tuple[str, str]
    found: Mapping[str, str]
    then: Mapping[str, str]


ENGLISH = Language(
    suffix="",
    key="",
    outcomes={
        "helps": "helps", "hurts": "hurts", "no gain": f"no gain of {DELTA}", "open": "no evidence",
    },
    starts={"paper": "started as in its paper", "identity": "started as an identity"},
    columns={"paper": "paper start", "identity": "identity start"},
    comma=", ",
    at=" at {place}",
    ends="{low} to {high}",
    heads={
        "counts": ("study", "modules", "helps", "hurts", f"no gain of {DELTA}", "no evidence"),
        "all": ("module", "latency ×", "parameters"),
        "settings": ("study", "settings", "plain mAP50-95", "runs", "hours"),
        "small": ("arm", "verdict", "difference", "latency ×"),
        "noise": (
            "study", "two plain runs, other seeds", "arm and plain, same seed",
            "A/A: plain with other seeds minus plain",
        ),
        "order": ("published", "ours", "modules", "rank correlation", "p"),
        "between": ("study", "and", "modules", "rank correlation", "p"),
        "starts": (
            "data set", "modules", "paper start: mean difference", "least", "hurt",
            "identity start: mean difference", "least", "hurt",
        ),
        "change": (
            "study", "modules", "rank correlation", "mean difference: no change", "less than 90 %",
            "90 % and more", "rank correlation among the last",
        ),
        "longer": ("module", "start", "the shorter training", "the longer training"),
        "longer noise": ("study", "plain mAP50-95", "standard deviation of a difference"),
    },
    sets=("one data set", "{sets} data sets"),
    runs="{runs} runs",
    quote="{module} {where} of yolov5n, {start}, {found} on {data} ({training}, {seeds} paired"
    " seeds, simultaneous 95 % interval for {arms} modules {low} to {high}){then}.",
    where=("in the neck", "at {place}"),
    found={
        "helps": "raised mAP50-95 by {size} points",
        "hurts": "lowered mAP50-95 by {size} points",
        "no evidence": "changed mAP50-95 by {difference} points",
    },
    then={
        "no gain": ", which is no evidence of an effect and rules out a gain of {delta} points",
        "open": ", which is no evidence of an effect; about {more} more seeds would be needed to"
        " show one of {delta} points among these modules",
        "far": ", which is no evidence of an effect",
    },
)  # fmt: skip
CHINESE = Language(
    suffix=".zh-CN",
    key="_zh",
    outcomes={
        "helps": "有效",
        "hurts": "有害",
        "no gain": f"提升不到 {DELTA}",
        "open": "没有证据",
    },
    starts={"paper": "按论文初始化", "identity": "从恒等映射开始"},
    columns={"paper": "按论文初始化", "identity": "从恒等映射开始"},
    comma="，",
    at="，位于 {place}",
    ends="{low} 到 {high}",
    heads={
        "counts": ("实验", "模块数", "有效", "有害", f"提升不到 {DELTA}", "没有证据"),
        "all": ("模块", "延迟倍数", "参数量"),
        "settings": ("实验", "设置", "原始模型 mAP50-95", "训练次数", "小时"),
        "small": ("分组", "结论", "差值", "延迟倍数"),
        "noise": (
            "实验",
            "两次原始模型，种子不同",
            "分组与原始模型，种子相同",
            "A/A：换了种子的原始模型减原始模型",
        ),
        "order": ("已发表", "我们的", "模块数", "秩相关", "p"),
        "between": ("实验", "与", "模块数", "秩相关", "p"),
        "starts": (
            "数据集",
            "模块数",
            "按论文初始化：平均差值",
            "最低",
            "有害",
            "从恒等映射开始：平均差值",
            "最低",
            "有害",
        ),
        "change": (
            "实验",
            "模块数",
            "秩相关",
            "平均差值：无改变",
            "改变小于 90 %",
            "90 % 及以上",
            "最后一组内的秩相关",
        ),
        "longer": ("模块", "初始化", "较短的训练", "较长的训练"),
        "longer noise": ("实验", "原始模型 mAP50-95", "差值的标准差"),
    },
    sets=("一个数据集", "{sets} 个数据集"),
    runs="{runs} 次训练",
    quote="在 {data} 上（{training}，{seeds} 个配对种子，{arms} 个模块的 95 % 同时置信区间 "
    "{low} 到 {high}），"
    "在 {where}加入 {module}（{start}），{found}{then}。",
    where=("yolov5n 的 neck 中", "yolov5n 的 {place} 处"),
    found={
        "helps": "mAP50-95 提高 {size} 个点",
        "hurts": "mAP50-95 降低 {size} 个点",
        "no evidence": "mAP50-95 变化了 {difference} 个点",
    },
    then={
        "no gain": "，没有证据表明有影响，并且排除了提升 {delta} 个点的可能",
        "open": "，没有证据表明有影响；要在这些模块里看出 {delta} 个点的影响，"
        "大约还需要 {more} 个种子",
        "far": "，没有证据表明有影响",
    },
)
