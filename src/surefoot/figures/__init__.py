"""The pictures.  answer -> marks (numbers) -> matplotlib, terminal."""
