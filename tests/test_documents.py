"""README, docs, CONTRIBUTING and cards: their links lead somewhere, and the flags in their commands exist."""

import ast
import pathlib
import re

import pytest

from keras_rfdn.training import recipes

PACKAGES = {"keras_rfdn.data": "data", "keras_rfdn.tflite": "tflite"}
COMMAND = re.compile(r"python (?:-m (?P<module>[\w.]+)|(?P<path>[\w/]+\.py))(?P<words>[^#\n`]*)")


def _documents(root):
    return [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "keras_rfdn/weights").glob("*.md")]


def _commands(text):
    """(file, flags) of each command line in a text; a line that ends in a backslash goes on."""
    for match in COMMAND.finditer(re.sub(r"\\\n\s*", "", text)):
        yield match["path"] or _file(match["module"]), re.findall(r"--(\w+)", match["words"])


def _flags(root, path):
    """Fields and aliases of the command's configuration, without importing it; those of one inside it, too."""
    tree = ast.parse((root / path).read_text())
    (config,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Config"))
    flags = {"help"}
    for field in config.body:
        if not isinstance(field, ast.AnnAssign):
            continue
        if isinstance(field.annotation, ast.Attribute) and field.annotation.attr.endswith("Config"):
            flags |= _flags(root, _imported(tree, field.annotation.value.id))
            continue
        flags.add(field.target.id)
        words = [word for node in ast.walk(field) for word in getattr(node, "keywords", ())]
        flags |= {word.value.value for word in words if word.arg == "alias"}
    return flags


def _imported(tree, name):
    """The file of a module that tree imports by `from package import name`."""
    (package,) = (
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]
    )
    return _file(f"{package}.{name}")


def _file(module):
    for package, folder in PACKAGES.items():
        module = re.sub(rf"^{re.escape(package)}\b", folder, module)
    return module.replace(".", "/") + ".py"


def test_links_lead_somewhere(root):
    found = 0
    for document in _documents(root):
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if not re.match(r"\w+:", target):
                found += 1
                assert (document.parent / target).exists(), f"{document.name}: {target}"
    assert found > 20


def test_flags_of_commands_exist(root):
    """But for the last section of docs/results.md, which lists how commands were spelled before."""
    found = 0
    for document in _documents(root):
        text = document.read_text().split("\n## How commands were spelled before")[0]
        for path, flags in _commands(text):
            if not path.startswith(("keras_rfdn/", "data/", "tflite/", "benchmarks/", "tools/")):
                continue
            found += 1
            assert (root / path).is_file(), f"{document.name}: {path}"
            allowed = _flags(root, path)
            switches = {flag.removeprefix("no") for flag in flags} & allowed
            unknown = set(flags) - allowed - {f"no{flag}" for flag in switches}
            assert not unknown, f"{document.name}: {path} has no {unknown}"
    assert found > 40


@pytest.mark.parametrize("line", ["-m keras_rfdn.train --sclae 4", "tflite/convert.py --int8 --exact_skip"])
def test_an_unknown_flag_is_noticed(line, root):
    ((path, flags),) = _commands(f"python {line}")
    assert not set(flags) <= _flags(root, path)


def test_every_documented_make_target_exists(root):
    makefile = (root / "Makefile").read_text()
    for document in _documents(root):
        for target in re.findall(r"^\s*make ([\w-]+)|`make ([\w-]+)`", document.read_text(), re.MULTILINE):
            name = "".join(target)
            assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"{document.name}: make {name}"


def test_build_notes_stay_short(root):
    assert len(pathlib.Path(root / "BUILD_NOTES.md").read_text().splitlines()) <= 300


def test_the_table_of_recipes_is_complete(root):
    text = (root / "docs/training.md").read_text()
    for name, recipe in recipes.RECIPES.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert recipe.expected in row
    assert text.count("\n| `paper-") + text.count("\n| `aim2020-") == len(recipes.RECIPES)
