"""The demo's run: it goes on without a tab, and each tab has all of it."""

from __future__ import annotations

import pytest

from streamy_core.demo.story import TEXT

pytestmark = pytest.mark.slow


def shown(page):
    return page.evaluate("streamy.run.text.textContent")


def test_a_run_goes_on_without_its_tab_and_is_whole_in_every_other_until_one_stops_it(served, visit):
    first = visit(served)
    already_open = visit(served)
    first.click("#run-start")
    first.wait_for_function("streamy.run.text.textContent.length > 10")
    first.reload()
    first.wait_for_function("streamy.run.text.textContent.length > 20")
    before = shown(first)
    first.close()

    second = visit(served)
    second.wait_for_function("(before) => streamy.run.text.textContent.length > before", arg=len(before))
    assert shown(second).startswith(before)
    already_open.click("#run-stop")
    for page in (already_open, second):
        page.wait_for_selector("#run-note:text-is('Stopped')")

    late = visit(served)
    late.wait_for_selector("#run-note:text-is('Stopped')")
    told = shown(second)
    assert len(told) > len(before)
    assert f"{TEXT} ".startswith(told)
    assert shown(already_open) == shown(late) == told
    assert late.is_enabled("#run-start")
    assert late.is_disabled("#run-stop")


def test_too_many_runs_are_refused_in_words(served):
    client = served.app.test_client()
    answers = [client.post("/run") for _ in range(17)]
    assert [answer.status_code for answer in answers] == [200] * 16 + [503]
    assert "STREAMY_RUN_THREADS" in answers[-1].json["error"]


def test_a_run_that_is_not_there_is_not_found(served):
    client = served.app.test_client()
    assert client.get("/run/00000000-0000-0000-0000-000000000000").status_code == 404
