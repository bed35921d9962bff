"""README, docs, CONTRIBUTING and cards: their links lead somewhere, and their commands can be parsed."""

import importlib
import importlib.util
import re

import pytest

from keras_rfdn.cli import command
from keras_rfdn.training import recipes

PACKAGES = {"data": "keras_rfdn.data", "tflite": "keras_rfdn.tflite"}  # folder: import name
COMMAND = re.compile(
    r"(?:python (?:-m (?P<module>[\w.]+)|(?P<path>\w+/\w+)\.py)|(?:^\s*|`)rfdn(?= ))(?P<words>[^#\n`'<>|]*)",
    re.MULTILINE,
)
OURS = ("keras_rfdn.", "benchmarks.", "tools.")


def _documents(root):
    return [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "keras_rfdn/weights").glob("*.md")]


def _commands(text):
    """(module, words) of each of our commands in a text; a line that ends in a backslash goes on, N is a number."""
    for match in COMMAND.finditer(re.sub(r"\\\n\s*", "", text)):
        module = match["module"] or "keras_rfdn.upscale"
        if match["path"]:
            folder, name = match["path"].split("/")
            module = f"{PACKAGES.get(folder, folder)}.{name}"
        if module.startswith(OURS) and "--help" not in match["words"]:
            yield module, re.sub(r"\bN\b", "1", match["words"]).split()


def _parse(module, words):
    """Parses words as the command's own start would; a mistake raises SystemExit."""
    imported = importlib.import_module(module)
    (config,) = (
        value
        for name, value in vars(imported).items()
        if name.endswith("Config") and getattr(value, "__module__", None) == module
    )
    return command._parse(config, [module, *words], preset=getattr(imported, "preset", None))


def test_links_lead_somewhere(root):
    found = 0
    for document in _documents(root):
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not re.match(r"\w+:", target):
                found += 1
                assert (document.parent / target).exists(), f"{document.name}: {target}"
    assert found > 20


def test_commands_can_be_parsed(root):
    """But for the last section of docs/results.md, which lists how commands were spelled before."""
    commands = {
        (module, tuple(words)): document.name
        for document in _documents(root)
        for module, words in _commands(document.read_text().split("\n## How commands were spelled before")[0])
    }
    assert len(commands) > 40
    for (module, words), document in commands.items():
        if not words:  # a mere mention
            assert importlib.util.find_spec(module), f"{document}: {module}"
            continue
        try:
            _parse(module, words)
        except SystemExit:
            pytest.fail(f"{document}: {module} does not take {' '.join(words)}")


@pytest.mark.parametrize("line", ["-m keras_rfdn.train --sclae 4", "tflite/convert.py --int8 --exact_skip"])
def test_an_unknown_flag_is_noticed(line):
    ((module, words),) = _commands(f"python {line}")
    with pytest.raises(SystemExit):
        _parse(module, words)


def test_every_documented_make_target_exists(root):
    makefile = (root / "Makefile").read_text()
    for document in _documents(root):
        for target in re.findall(r"^\s*make ([\w-]+)|`make ([\w-]+)`", document.read_text(), re.MULTILINE):
            name = "".join(target)
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"{document.name}: make {name}"


def test_the_table_of_recipes_is_complete(root):
    text = (root / "docs/training.md").read_text()
    for name, recipe in recipes.RECIPES.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert recipe.expected in row
        if recipe.init_from:
            assert f"| `{recipe.init_from}` |" in row
    assert len(re.findall(r"^\| `(?:cpu|gpu|paper|aim2020)-", text, re.MULTILINE)) == len(recipes.RECIPES)


def test_build_notes_stay_short(root):
    assert len((root / "BUILD_NOTES.md").read_text().splitlines()) <= 300
