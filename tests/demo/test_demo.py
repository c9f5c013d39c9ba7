"""What a visitor of the demo sees, in a real browser."""

from __future__ import annotations

import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

RECONNECT_DELAY = 0.5


def tally(page: Any) -> dict[str, int]:
    found: dict[str, int] = page.evaluate("streamy.tally")
    return found


def test_charts_move_with_real_samples(served, visit):
    page = visit(served, reduced_motion="no-preference")
    page.wait_for_function("streamy.samples.length >= 2")
    drawn = page.evaluate("streamy.charts.map((chart) => chart.drawn)")
    pictures = page.evaluate("streamy.charts.map((chart) => chart.canvas.toDataURL())")

    page.wait_for_function(
        "(before) => streamy.charts.every((chart, i) => chart.drawn > before[i])", arg=drawn
    )

    later = page.evaluate("streamy.charts.map((chart) => chart.canvas.toDataURL())")
    assert all(before != after for before, after in zip(pictures, later, strict=True))
    sample = page.evaluate("streamy.samples.at(-1)")
    assert sample["memory_total"] == psutil.virtual_memory().total
    assert len(sample["cpu"]) == psutil.cpu_count()
    for figure in ("#cpu", "#memory", "#net-in"):
        assert float(page.inner_text(figure)) >= 0


def test_one_connection_carries_all_and_nothing_comes_from_elsewhere(serve, visit, tmp_path):
    log = tmp_path / "app.log"
    log.write_text("first\n")
    served = serve(follow=log)
    urls: list[str] = []
    page = visit(served, prepare=lambda page: page.on("request", lambda request: urls.append(request.url)))
    page.wait_for_function("streamy.tally.received >= 1")
    served.say("hello")
    page.get_by_text("hello", exact=True).wait_for()
    with log.open("a") as file:
        file.write("second\n")
    page.get_by_text("second", exact=True).wait_for()

    assert served.count("GET /events") == 1
    assert page.evaluate("connections") == 1
    assert all(url.startswith((served.url, "data:")) for url in urls)


def test_page_works_under_its_own_policy(served, visit):
    errors: list[str] = []

    def prepare(page):
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)

    page = visit(served, bypass_csp=False, prepare=prepare)
    page.locator("#received", has_text="2").wait_for()

    assert float(page.inner_text("#cpu")) >= 0
    assert errors == []


def test_page_forbids_foreign_content_and_is_never_stored(served):
    with urllib.request.urlopen(served.url) as response:
        assert response.headers["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self' 'nonce-"
        )
        assert response.headers["Cache-Control"] == "no-store"


def test_a_cut_connection_resumes_without_a_lost_or_repeated_event(served, visit):
    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")
    page.click("#cut")
    page.wait_for_function("streamy.stream.state === 'waiting'")
    assert page.inner_text("#status") == "Reconnecting"
    served.say("said while the connection was down")

    page.wait_for_function("streamy.tally.reconnects === 1")
    page.get_by_text("Back at #").wait_for()

    serials = page.evaluate("serials")
    assert all(after == before + 1 for before, after in pairwise(serials))
    replayed = page.evaluate(
        "streamy.samples.filter((sample) => sample.replayed).map(({ serial }) => serial)"
    )
    assert len(replayed) >= 3
    assert {**tally(page), "expected": None, "last": None} == {
        "received": len(serials), "lost": 0, "repeated": 0, "reconnects": 1, "expected": None, "last": None,
    }  # fmt: skip
    assert page.inner_text("#log").count("nothing lost, nothing repeated") == 1
    assert f"{len(replayed)} events published meanwhile" in page.inner_text("#log")
    assert page.get_by_text("said while the connection was down").count() == 1
    (band,) = page.evaluate("streamy.bands")
    assert band["label"] == "while you were away"
    assert band["to"] - band["from"] >= 3500
    assert page.is_enabled("#cut")


def test_the_cut_button_keeps_the_focus(served, visit):
    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")
    page.focus("#cut")
    page.keyboard.press("Enter")
    page.wait_for_function("streamy.stream.state === 'waiting'")
    assert not page.is_enabled("#cut")
    assert page.evaluate("document.activeElement.id") == "cut"
    page.wait_for_function("streamy.tally.reconnects === 1")
    assert page.evaluate("document.activeElement.id") == "cut"


def test_a_page_that_is_refused_says_so_and_has_nothing_to_cut(served, visit):
    page = visit(served)
    page.wait_for_function("streamy.stream.state === 'live'")
    page.route("**/events*", lambda route: route.fulfill(status=403))
    page.click("#cut")
    page.wait_for_selector("#status:has-text('Refused')")
    page.get_by_text("The server says 403: nothing more will come").wait_for()
    assert page.inner_text("#cut") == "No connection"
    assert page.get_attribute("#cut", "aria-disabled") == "true"


def test_a_page_without_scripts_says_what_it_lacks(served, visit):
    page = visit(served, java_script_enabled=False)
    assert "needs JavaScript" in page.inner_text("noscript")


def test_only_the_client_that_asks_is_cut(served, visit):
    one, other = visit(served), visit(served)
    one.wait_for_function("streamy.tally.received >= 1")
    other.wait_for_function("streamy.tally.received >= 1")

    one.click("#cut")
    one.wait_for_function("streamy.tally.reconnects === 1")

    assert tally(other)["reconnects"] == 0
    assert other.inner_text("#status") == "Connected"


def test_clients_that_leave_are_forgotten(served, visit, until):
    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")
    assert len(served.demo.connections) == 1

    page.close()

    assert until(lambda: len(served.demo.connections) == 0)
    assert until(lambda: served.demo.sse.health.streams == 0)


def test_a_connection_that_is_not_there_cannot_be_cut(served):
    assert served.app.test_client().post("/cut?client=nobody").status_code == 404


def test_page_asks_for_nothing_more_after_the_end(served, visit):
    page = visit(served)
    page.click("#countdown")
    page.locator("#count[data-state=running]").wait_for()
    page.locator("#count[data-state=liftoff]").wait_for()
    page.locator("#count[data-state=ended]").wait_for()

    assert page.evaluate("streamy.countdown.stream.state") == "ended"
    assert page.locator("#steps li[data-done]").count() == 3
    assert served.count("GET /countdown/") == 1
    assert not served.wait_for("GET /countdown/", 2, seconds=4 * RECONNECT_DELAY)
    assert page.is_enabled("#countdown")


def test_chat_reaches_every_open_page_and_is_text_to_it(served, visit):
    one, other = visit(served), visit(served)
    attack = "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script> & more"

    one.fill("#chat-text", attack)
    one.keyboard.press("Enter")

    for page in (one, other):
        message = page.locator("#messages li p")
        message.wait_for()
        assert message.inner_text() == attack
        assert page.locator("#messages img, #messages script").count() == 0
        assert page.evaluate("window.hacked") is None
    assert one.locator("#messages .own").count() == 1
    assert other.locator("#messages .own").count() == 0
    assert one.input_value("#chat-text") == ""


def test_history_is_there_on_load_and_escaped(served, visit):
    texts = [f"message {number}" for number in range(60)] + ["</script><script>window.hacked = 1</script>"]
    for text in texts:
        served.say(text)
    earlier = visit(served)
    earlier.wait_for_function("streamy.samples.length >= 3")

    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")

    assert page.locator("#messages li p").all_inner_texts() == texts[-50:]
    assert page.evaluate("window.hacked") is None
    serials = page.evaluate("streamy.samples.map(({ serial }) => serial)")
    assert serials[0] == 1
    assert all(after == before + 1 for before, after in pairwise(serials))
    assert len(serials) > tally(page)["received"]


def test_no_event_falls_between_render_and_connect(served, visit):
    def prepare(page):
        def first_connect(route):
            served.say("published in between")
            route.continue_()

        page.route("**/events?*", first_connect, times=1)

    served.say("published before")
    page = visit(served, prepare=prepare)
    page.get_by_text("published in between").wait_for()
    page.wait_for_function("streamy.tally.received >= 1")

    assert page.locator("#messages li p").all_inner_texts() == ["published before", "published in between"]
    assert tally(page)["lost"] == tally(page)["repeated"] == 0


def test_a_gap_is_shown(serve, visit):
    served = serve(broker="memory://?history=2")
    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")
    assert page.is_hidden("#gap")

    page.click("#cut")

    page.locator("#gap").wait_for()
    page.get_by_text("after a gap").wait_for()
    assert "system" in page.inner_text("#gap p")
    assert tally(page)["repeated"] == 0
    page.click("#gap-close")
    assert page.is_hidden("#gap")


def test_followed_file_appears_as_it_grows_is_cut_and_rotated(serve, visit, tmp_path: Path):
    log = tmp_path / "<b>app.log"
    log.write_text("old one\nold two\n")
    page = visit(serve(follow=log))
    assert page.inner_text("#file-title") == "<b>app.log"
    page.get_by_text("old two", exact=True).wait_for()

    with log.open("a") as file:
        file.write("\x1b[31m<i>new</i>\x1b[0m\n")
    page.get_by_text("<i>new</i>", exact=True).wait_for()
    log.write_text("cut\n")
    page.get_by_text("cut", exact=True).wait_for()
    log.rename(tmp_path / "app.log.1")
    log.write_text("rotated\n")
    page.get_by_text("rotated", exact=True).wait_for()

    expected = ["old one", "old two", "<i>new</i>", "cut", "rotated"]
    assert page.locator("#lines li").all_inner_texts() == expected


def test_many_lines_leave_the_page_small(serve, visit, tmp_path: Path):
    log = tmp_path / "app.log"
    log.touch()
    served = serve(follow=log)
    page = visit(served)
    page.wait_for_function("streamy.tally.received >= 1")

    log.write_text("".join(f"line {number}\n" for number in range(5_000)))

    page.get_by_text("line 4999", exact=True).wait_for()
    assert page.locator("#lines li").count() <= 500


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_page_fits_its_window(served, visit, width):
    page = visit(served, viewport={"width": width, "height": 844})
    page.wait_for_function("streamy.tally.received >= 1")

    assert page.evaluate("document.documentElement.scrollWidth") == width
