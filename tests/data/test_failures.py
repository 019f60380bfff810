"""Images that cannot be read: when they are too many, and how they are told."""

from data.failures import LostImages, lost_sentence


def test_one_percent_may_be_missing_and_not_more():
    lost = LostImages(200)
    assert lost.add([("a", "gone"), ("b", "gone")], 14, 16) == ["a", "b"]
    assert not lost.too_many
    assert lost.add([("a", "gone")], 15, 16) == []
    assert not lost.too_many
    lost.add([("c", "cut")], 15, 16)
    assert lost.too_many
    assert lost.stop_reason() == (
        "3 of 200 images cannot be read, more than 1%; the first: a: gone"
    )
    lost.start_epoch()
    assert not lost.too_many


def test_a_whole_batch_is_too_much_but_a_batch_of_one_is_not():
    lost = LostImages(10_000)
    lost.add([("a", "gone")], 0, 1)
    assert not lost.too_many
    lost.add([("a", "gone"), ("b", "gone")], 0, 2)
    assert lost.too_many
    assert lost.stop_reason() == "none of the 2 images of a batch can be read; the first: a: gone"


def test_each_is_noted_once_and_a_few_are_named():
    lost = LostImages(10_000)
    lost.add([(str(number), "gone") for number in range(5)], 11, 16)
    sentence = lost_sentence("training images", lost.take_new(), "each was grey")
    assert sentence == (
        "5 training images could not be read (0: gone; 1: gone; 2: gone; and 2 more); each was grey"
    )
    assert lost.take_new() == {}
