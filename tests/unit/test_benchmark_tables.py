"""The figures in README and documentation are those of the results that are kept."""

import pytest

pytest.importorskip("psutil", reason="the benchmarks are not installed")

from benchmarks import readme


@pytest.mark.parametrize("page", readme.PAGES)
def test_page_shows_the_latest_results(page):
    _, written, _ = readme.parts(page)
    assert written == readme.PAGES[page]()
