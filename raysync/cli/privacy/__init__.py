"""Commands of a privacy officer: show, export, erase, and change pseudonyms."""
