"""The page, as a person uses it, in headless Chromium.

Debian: `apt-get install chromium`; Python: the extras `dev` and `demo`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.demo import build_page, index_and_timeline, launch, summary
from soccermaster.downstream.watch import watch
from tests.downstream.match import predictor, short_match


@pytest.fixture
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")


@pytest.fixture
def address(tmp_path, monkeypatch) -> Iterator[str]:
    pytest.importorskip("gradio", reason="needs the extra demo")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = build_page(predictor(), "untrained", top_k=3)
    yield launch(page, wait=False)
    page.close()


def test_without_gradio_the_page_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r"pip install 'soccermaster\[demo\]'"):
        build_page(predictor())


@pytest.mark.parametrize(
    ("tasks", "searched", "told"),
    [("athletes", False, False), ("events", False, True), ("alignment", True, False)],
)
def test_what_the_model_has_no_head_for_stays_empty(tasks, searched, told, tmp_path):
    model, source = predictor(f"task=[{tasks}]"), open_source(short_match(tmp_path))
    watched = watch(model, source, tmp_path, duration_s=1.0)
    index, timeline = index_and_timeline(model, source)
    assert (index is not None, timeline is not None) == (searched, told)
    assert ("no clips to search" in summary(watched, index)) == (not searched)


def test_a_dropped_video_is_analysed_and_searched(chromium, address, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    video = short_match(tmp_path)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(120_000)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.locator("#find").click()
        playwright.expect(page.get_by_text("Analyse a video first.")).to_be_visible()
        page.locator("#video input[type=file]").set_input_files(video)
        page.locator("#video video").wait_for()
        page.get_by_label("how long (s)").fill("2")
        page.locator("#analyse").click()
        status = page.locator("#status")
        playwright.expect(status).to_contain_text("4 frames", timeout=120_000)
        playwright.expect(status).to_contain_text("clips to search")
        for place in ("#overlay video", "#map video", "#events img"):
            page.locator(place).wait_for()
            assert page.locator(place).get_attribute("src")
        page.locator("#query textarea, #query input").fill("a corner for [TEAM]")
        page.locator("#find").click()
        page.locator("#moments img").first.wait_for()
        assert page.locator("#moments img").count() == 3
        elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        browser.close()
    assert elsewhere == []
    (folder,) = tmp_path.glob("soccermaster_demo_*")
    assert {path.name for path in folder.iterdir()} == {"overlay.mp4", "map.mp4"}
