"""The sample of the Americas: a registry of real size that a person can look at."""

from click.testing import CliRunner

from valija.registry.cli import main


def test_a_sample_registry_is_written_shown_and_holds_and_is_never_mixed_with_another(tmp_path):
    folder = tmp_path / "sample"
    made = CliRunner().invoke(main, ["sample", str(folder)])
    assert made.exit_code == 0, made.output
    assert "180 contact points" in made.stderr
    shown = CliRunner().invoke(main, ["--registry", str(folder), "show", "--point", "pe.judicial"])
    assert "Sample contact point, PE, judicial" in shown.output
    again = CliRunner().invoke(main, ["sample", str(folder)])
    assert again.exit_code == 1
    assert "a sample is never mixed with a registry" in again.stderr
