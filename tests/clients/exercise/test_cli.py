from click.testing import CliRunner

from valija.cli import main
from valija.exercise import scenario


def run(*arguments, given=None):
    return CliRunner().invoke(main, ["exercise", *arguments], input=given, env={"LANG": "C.UTF-8", "LC_ALL": ""})


def test_a_trainer_finds_the_scenarios_and_plays_one_without_a_profile():
    listed = run()
    assert listed.exit_code == 0
    assert "kidnapping\t14\tA kidnapping over three States" in listed.stdout
    played = run("kidnapping", "--brief")
    assert played.exit_code == 0
    lines = played.stdout.splitlines()
    assert "A kidnapping over three States" in lines
    assert "00:50  ca.liaison -> pe.policia: Response" in lines
    assert "03:10 pe.fiscalia: due at 08:00, answered at 09:10, LATE" in lines
    assert lines[-1].startswith("14 messages, each sealed, signed")


def test_every_message_of_an_exercise_is_marked_from_top_to_bottom():
    played = run("kidnapping", "--language", "pt")
    assert played.exit_code == 0
    shown = [line for line in played.stdout.splitlines() if " | " in line]
    assert len(shown) > 300
    assert not [line for line in shown if not line.startswith("EX")]
    assert any("Una voz pidió dinero y silencio." in line for line in shown)


def test_a_trainer_stops_where_the_hour_ends():
    played = run("kidnapping", "--brief", "--pause", given="\nq\n")
    assert played.exit_code == 0
    assert "00:15" in played.stdout
    assert "00:50" not in played.stdout


def test_a_scenario_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    asked = run("hostages")
    assert asked.exit_code == 2
    assert "kidnapping" in asked.stderr
    assert run(str(tmp_path / "mine.toml")).exit_code == 78


def test_a_trainer_changes_a_copy(tmp_path):
    text = (scenario.FOLDER / "kidnapping.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("A kidnapping over three States", "Ours"))
    assert "Ours" in run(str(tmp_path / "mine.toml"), "--brief").stdout


def test_a_scenario_of_somebody_else_steers_no_terminal(tmp_path):
    text = (scenario.FOLDER / "kidnapping.toml").read_text().replace('en = "', 'en = "\\u001b[2J\\u202e')
    (tmp_path / "theirs.toml").write_text(text)
    played = run(str(tmp_path / "theirs.toml"), "--brief", "--pause", "--language", "en", given="q\n")
    assert played.exit_code == 0
    assert "kidnapping over three States" in played.output
    assert not {"\x1b", "\u202e"} & {*played.output}
