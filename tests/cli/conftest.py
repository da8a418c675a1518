"""The command line as a user types it, in a folder of its own."""

import pytest

from surefoot.cli.main import main


@pytest.fixture
def surefoot(tmp_path, monkeypatch, capsys):
    """A function: words, expected exit code -> standard output; of misuse standard error, which is kept in ``.err``."""
    monkeypatch.chdir(tmp_path)

    def run(words, code=0):
        with pytest.raises(SystemExit) as exited:
            main(words.split())
        out, run.err = capsys.readouterr()
        assert exited.value.code == code, out + run.err
        return out if code < 2 else run.err

    return run
