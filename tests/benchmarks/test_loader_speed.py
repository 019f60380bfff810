"""The loaders' benchmark reads our batches, and takes the median of the turns after the first."""

import sys

from benchmarks.loader_speed import Turns


def test_turns_of_a_loader():
    code = "class Loader:\n    def __iter__(self):\n        yield [[0] * 5]\nserve(Loader())"
    side = Turns(sys.executable, code, ["", "64", "no", "all", "hyp", "16"], {})
    for count in (1, 7, 12):
        side.take(count)
    side.child.kill()
    side.child.wait()
    assert len(side.seconds) == 3
    side.seconds = [9.0, 0.5, 0.25, 0.125]
    assert side.rate == 4
