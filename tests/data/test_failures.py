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


def test_parts_of_several_processes_are_one_epoch():
    parts = [LostImages(300) for _ in range(3)]
    parts[1].add([("a", "gone"), ("b", "cut")], 14, 16)
    parts[2].add([("c", "gone")], 15, 16)
    whole = LostImages.together(parts)
    assert (whole.total, list(whole.reasons), whole.too_many) == (300, ["a", "b", "c"], False)
    parts[0].add([("d", "gone")], 15, 16)
    assert LostImages.together(parts).stop_reason().startswith("4 of 300 images cannot be read")
    parts[2].add([("e", "gone"), ("f", "gone")], 0, 2)
    assert LostImages.together(parts).stop_reason().startswith("none of the 2 images")


def test_each_is_noted_once_and_a_few_are_named():
    lost = LostImages(10_000)
    lost.add([(str(number), "gone") for number in range(5)], 11, 16)
    sentence = lost_sentence("training images", lost.take_new(), "each was grey")
    assert sentence == (
        "5 training images could not be read (0: gone; 1: gone; 2: gone; and 2 more); each was grey"
    )
    assert lost.take_new() == {}
