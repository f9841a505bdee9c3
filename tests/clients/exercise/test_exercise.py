import time

import pytest

from valija.errors import ConfigError
from valija.exercise import scenario
from valija.exercise.play import Stage
from valija_schemas import documents

KIDNAPPING = scenario.FOLDER / "kidnapping.toml"
BEGAN = time.time_ns() // 1_000_000


def changed(tmp_path, old, new):
    text = KIDNAPPING.read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    return tmp_path / "mine.toml"


@pytest.mark.parametrize("name", scenario.names())
async def test_every_message_of_a_scenario_is_opened_by_whom_it_is_for_and_marked_as_an_exercise(name, tmp_path):
    script = scenario.read(scenario.FOLDER / f"{name}.toml")
    async with Stage.open(script, tmp_path, BEGAN) as stage:
        played = [each async for each in stage.play()]
        deadlines = stage.deadlines()
    assert len(played) == len(script.steps)
    for each in played:
        assert each.sent.exercise
        assert [message.to for message in each.received] == [tuple(sorted(each.step.to))] * len(each.step.to)
        assert all(message.exercise and message.sender == each.step.sender for message in each.received)
        assert each.received[0].thread == each.sent.thread
    by_name = {each.step.name: each.sent for each in played}
    for each in played:
        if each.step.reply_to:
            assert each.sent.thread == by_name[each.step.reply_to].thread
            assert each.sent.in_reply_to == by_name[each.step.reply_to].digest
    assert {each.step.name for each in deadlines} <= set(by_name)


async def test_a_kidnapping_ends_with_the_answers_and_the_delay_that_trainers_ask_about(tmp_path):
    async with Stage.open(scenario.read(KIDNAPPING), tmp_path, BEGAN) as stage:
        played = [each async for each in stage.play()]
    assert {each.step.type for each in played} >= {
        "person-alert/1",
        "information-request/1",
        "mutual-legal-assistance-request/1",
        "dissemination-consent-request/1",
        "withdrawal/1",
    }
    assert {each.step.name: each.late for each in stage.deadlines()} == {
        "alert": False,
        "questions": False,
        "assistance": True,
    }
    assert sorted(
        answer.question
        for each in played
        if each.step.reply_to == "questions"
        for answer in each.received[0].document.answers
    ) == [1, 2]


def test_times_and_digests_of_a_story_are_filled_in_when_it_is_played():
    began = 1_795_488_860_123  # 2026-11-24T01:34:20Z
    text = {"by": ["@T+02:00", "@T-03:20"], "on": "@D+30", "of": "@message:alert", "else": "@T+2h", "n": 4}
    assert scenario.written(text, began, {"alert": "ab" * 32}) == {
        "by": ["2026-11-24T04:54:20+00:00", "2026-11-23T23:34:20+00:00"],
        "on": "2026-12-24",
        "of": "ab" * 32,
        "else": "@T+2h",
        "n": 4,
    }


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('reply_to = "alert"', 'reply_to = "nobody"', "no earlier step"),
        ('to = ["br.policia", "ca.liaison"]', 'to = ["br.policia", "uk.liaison"]', "no participant"),
        ('at = "00:50"', 'at = "00:05"', "before an earlier one"),
        ('name = "received"', 'name = "alert"', "name of another"),
        ("[about]", "[abuot]", "abuot"),
        ('at = "00:00"', "at = 00:00:00", "at"),
        ("[title]", "[title", "no scenario"),
    ],
)
def test_a_scenario_whose_steps_do_not_fit_together_says_so_before_it_is_played(tmp_path, old, new, why):
    with pytest.raises(ConfigError, match=why):
        scenario.read(changed(tmp_path, old, new))


def test_a_scenario_that_is_not_there_or_is_no_text_says_so(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        scenario.read(tmp_path / "none.toml")
    (tmp_path / "none.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="no scenario"):
        scenario.read(tmp_path / "none.toml")
    (tmp_path / "none.toml").write_bytes(b"#" * (scenario.scenario_bytes_max + 1))
    with pytest.raises(ConfigError, match="longer"):
        scenario.read(tmp_path / "none.toml")


async def test_a_document_of_a_story_that_breaks_a_rule_is_not_played(tmp_path):
    from valija.errors import DocumentInvalidError

    script = scenario.read(changed(tmp_path, 'forename = "Anna Exercise"', 'script = "Latn"'))
    async with Stage.open(script, tmp_path, BEGAN) as stage:
        with pytest.raises(DocumentInvalidError, match="forename"):
            await anext(aiter(stage.play()))


def test_a_story_is_told_in_every_language():
    for name in scenario.names():
        script = scenario.read(scenario.FOLDER / f"{name}.toml")
        told = [script.title, script.about, *(step.story for step in script.steps)]
        told += [step.ask for step in script.steps if step.ask]
        for text in told:
            assert len({text.en, text.es, text.fr, text.pt}) == 4
        assert set(documents.types()) >= {step.type for step in script.steps}
