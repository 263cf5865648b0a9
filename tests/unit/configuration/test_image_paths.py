"""Image paths and selectors: compared by component, case-insensitive, with either separator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, Selector, fold
from tests.unit.builders import components, image_paths


@given(image_paths, st.data())
def test_separator_and_case_do_not_matter(text: str, data: st.DataObject) -> None:
    """A path written with any mix of separators and in ASCII upper case is the same path."""
    other = "".join(data.draw(st.sampled_from("/\\")) if char == "/" else char for char in text)
    shouted = "".join(char.upper() if char.isascii() else char for char in other)
    assert ImagePath.parse(shouted) == ImagePath.parse(text)
    assert hash(ImagePath.parse(shouted)) == hash(ImagePath.parse(text))


@given(image_paths)
def test_text_of_a_path_reads_back_as_it(text: str) -> None:
    """str() and parse() are inverse and keep the case."""
    assert ImagePath.parse(str(ImagePath.parse(text))).parts == ImagePath.parse(text).parts


@given(image_paths, components)
def test_a_selector_takes_what_lies_beneath_it_and_never_a_sibling_with_a_longer_name(text: str, more: str) -> None:
    """`Win2016` matches `Win2016/x`, never `Win2016Core`."""
    selector = Selector.parse(text)
    assert selector.matches(ImagePath.parse(text))
    assert selector.matches(ImagePath.parse(f"{text}/{more}"))
    sibling = ImagePath((*selector.path.parts[:-1], selector.path.parts[-1] + more))
    assert selector.matches(sibling) is (fold(sibling.parts[-1]) == fold(selector.path.parts[-1]))


@given(st.lists(components, min_size=1, max_size=3), st.lists(components, min_size=1, max_size=3))
def test_a_match_is_exactly_a_prefix_of_folded_components(selected: list[str], path: list[str]) -> None:
    """The rule, compared with an independent implementation."""
    expected = [fold(part) for part in path][: len(selected)] == [fold(part) for part in selected]
    assert Selector(ImagePath(tuple(selected))).matches(ImagePath(tuple(path))) is expected


@pytest.mark.parametrize("text", ["Win2016/", "Win2016\\", "./Win2016", "Win2016//", "win2016"])
def test_spellings_of_a_folder(text: str) -> None:
    """Trailing separators and a leading `./` change nothing."""
    assert Selector.parse(text).matches(ImagePath.parse("Win2016/Datacenter.json"))


@pytest.mark.parametrize(
    "text", ["", ".", "/", "..", "a/../b", "..\\a", "/a", "\\a", "\\\\server\\a", "C:a", "c:\\a", "a\nb"]
)
def test_what_leaves_the_root_or_names_nothing_is_rejected(text: str) -> None:
    """No absolute path, no drive, no `..`, no empty path, no control character."""
    with pytest.raises(ValueError, match=r"\w"):
        ImagePath.parse(text)


@given(st.text())
def test_any_text_is_a_path_beneath_the_root_or_refused(text: str) -> None:
    """Nothing but ValueError is raised, and no part climbs or is empty."""
    try:
        path = ImagePath.parse(text)
    except ValueError:
        return
    assert path.parts
    assert not {"", ".", ".."} & set(path.parts)
