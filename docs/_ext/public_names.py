"""The directive `names`: the reference of some public names of a module.

    ```{names} coopetition
    solve descend
    Trajectory
    ```

Signatures are those of the source, so that types have their short names.  Docstrings of this
project list parameters as `name : description`; numpydoc gets them as a section.
"""

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import sys
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

from docutils import nodes
from reference_pages import names_by_last_part
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.roles import XRefRole
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

PACKAGES = ("coopetition", "transformer", "paper_figures")
PLUMBING = {"to_saved", "from_saved", "to_archive", "from_archive", "headline", "kind"}
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : +(.*)$")
NEXT_ENTRY = re.compile(r";  (?=\w+(?:, \w+)* : )")  # two in a line
CODE = re.compile(r"(`[^`\n]+(?:\n[^`\n]+)?`)")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
PAGE = re.compile(r"docs/(\w+)\.md")


class Names(SphinxDirective):
    """Document names of a module: a table with their summaries, then each of them."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the nodes that autosummary and autodoc make."""
        module = self.arguments[0]
        values = {
            name: getattr(importlib.import_module(module), name)
            for name in " ".join(self.content).split()
        }
        lines = [f".. currentmodule:: {module}", ""]
        if len(values) > 1:
            lines += [".. autosummary::", ""]
            lines += [f"   {name}" for name, value in values.items() if not _is_data(value)]
        for name, value in values.items():
            lines += ["", *_directive(name, value)]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))


def _is_data(value: Any) -> bool:
    return not isinstance(value, type) and not inspect.isfunction(inspect.unwrap(value))


def _directive(name: str, value: Any) -> list[str]:
    if _is_data(value):
        text = _assignment_doc(name, value).splitlines()
        return [f".. data:: {name}", "", *(f"   {line}" for line in text)]
    if not isinstance(value, type):
        return [f".. autofunction:: {name}"]
    if issubclass(value, Exception):
        return [f".. autoexception:: {name}"]
    members = [*_members(value)]
    options = [f"   :members: {', '.join(members)}"] if members else []
    return [f".. autoclass:: {name}", *options]


def _members(cls: type) -> dict[str, Any]:
    """Return methods and properties with docstrings that no documented base has."""
    found: dict[str, Any] = {}
    fields = _field_names(cls)
    inherited = {name for base in _documented_bases(cls) for name in dir(base)}
    for base in _own_bases(cls):
        for name, value in vars(base).items():
            function = _function_of(value)
            is_documented = inspect.isfunction(function) and function.__doc__
            if name.startswith("_") or name in PLUMBING or name in fields or not is_documented:
                continue
            if base is cls or name not in inherited:
                found.setdefault(name, value)
    return found


def _field_names(cls: type) -> set[str]:
    return (
        {each.name for each in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    )


def _documented_bases(cls: type) -> list[type]:
    return [base for base in _own_bases(cls)[1:] if _public_name(base)]


def _function_of(value: Any) -> Any:
    """Return the function of a method, of a property or of a decorated function."""
    for attribute in ("fget", "func", "__func__"):
        value = getattr(value, attribute, value)
    return inspect.unwrap(value)


def _own_bases(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.partition(".")[0] in PACKAGES]


@cache
def _syntax(value: Any) -> Any:
    """Return the syntax tree of a function's or a class's definition."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def _short_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, _: Any
) -> tuple[str, str] | None:
    if what == "exception" or signature is None:
        return None
    if isinstance(value, type):
        if issubclass(value, enum.Enum):
            return "", ""
        if dataclasses.is_dataclass(value):
            return _dataclass_signature(value), ""
        if hasattr(value, "_fields"):
            fields = [f"{name}: {annotation}" for name, (annotation, _) in _fields(value).items()]
            return f"({', '.join(fields)})", ""
        function = value.__init__
        return (_function_signature(function)[0], "") if inspect.isfunction(function) else ("", "")
    function = _function_of(value)
    return _function_signature(function) if inspect.isfunction(function) else None


def _function_signature(function: Any) -> tuple[str, str]:
    tree, names = _syntax(function), function.__globals__
    arguments = tree.args
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls"):
            del group[0]
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        argument.annotation = argument.annotation and _Names(names).visit(argument.annotation)
    returns = ast.unparse(_Names(names).visit(tree.returns)) if tree.returns else ""
    return f"({ast.unparse(arguments)})", returns


class _Names(ast.NodeTransformer):
    """Write public names in full, choices out, and types that are not imported without quotes."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replace a name by what it means."""
        value = self.names.get(node.id)
        if get_origin(value) is Literal:
            return ast.parse(f"Literal[{', '.join(map(repr, get_args(value)))}]", mode="eval").body
        public = _public_name(value)
        return ast.parse(public, mode="eval").body if public else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Leave the texts of a choice."""
        is_literal = isinstance(node.value, ast.Name) and node.value.id == "Literal"
        return node if is_literal else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Remove quotes."""
        if not isinstance(node.value, str):
            return node
        return self.visit(ast.parse(node.value, mode="eval").body)


def _public_name(value: Any) -> str | None:
    if getattr(value, "__module__", "").partition(".")[0] not in PACKAGES:
        return None
    for name in names_by_last_part().get(getattr(value, "__name__", ""), ()):
        module, _, last = name.rpartition(".")
        if getattr(importlib.import_module(module), last) is value:
            return name
    return None


def _fields(cls: type) -> dict[str, tuple[str, str]]:
    """Return type and default of the fields of a class as in the source, those of bases first."""
    found = {}
    for base in reversed(_own_bases(cls)):
        for node in _syntax(base).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = vars(sys.modules[base.__module__])
                annotation = ast.unparse(_Names(names).visit(node.annotation))
                found[node.target.id] = annotation, _default(node.value)
    return found


def _default(value: ast.expr | None) -> str:
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "field"
    ):
        keywords = {each.arg: ast.unparse(each.value) for each in value.keywords}
        factory = keywords.get("default_factory")
        return f"{factory}()" if factory else keywords.get("default", "")
    return ast.unparse(value) if value else ""


def _field_docs(cls: type) -> dict[str, str]:
    """Return the texts that follow fields in the source of a class."""
    found = {}
    for node, following in pairwise(_syntax(cls).body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[node.target.id] = inspect.cleandoc(value.value)
    return found


def _assignment_doc(name: str, value: Any) -> str:
    """Return the text that follows the definition of a global name."""
    modules = [each for key, each in [*sys.modules.items()] if key.partition(".")[0] in PACKAGES]
    for module in modules:
        if vars(module).get(name) is value:
            body = ast.parse(inspect.getsource(module)).body
            for node, text in pairwise(body):
                targets = getattr(node, "targets", [getattr(node, "target", None)])
                if [getattr(each, "id", "") for each in targets] == [name]:
                    return inspect.cleandoc(ast.literal_eval(ast.unparse(text)))
    raise LookupError(f"no text follows the definition of {name}")


def _dataclass_signature(cls: type) -> str:
    syntax = _fields(cls)
    fields = [each for each in dataclasses.fields(cls) if each.init]  # pyright: ignore[reportArgumentType]
    arguments = []
    for field in sorted(fields, key=lambda field: bool(field.kw_only)):
        if field.kw_only and "*" not in arguments:
            arguments.append("*")
        annotation, default = syntax[field.name]
        arguments.append(f"{field.name}: {annotation}" + (f" = {default}" if default else ""))
    return f"({', '.join(arguments)})"


def _to_numpydoc(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Rewrite a docstring: `name : description` becomes an entry of a section."""
    text = [_escape(part) for line in lines for part in NEXT_ENTRY.split(line)]
    first = next((k for k in range(len(text) - 1) if re.match("-{3,}$", text[k + 1])), len(text))
    preamble, parameters = [], []
    for paragraph in _paragraphs(text[:first]):
        target = parameters if preamble and ENTRY.match(paragraph[0]) else preamble
        target += [*paragraph, ""]
    sections = _sections(text[first:])
    if isinstance(value, type):
        arguments = _field_names(value)
        for base in reversed(_own_bases(value)):
            for field, doc in _field_docs(base).items():
                first, *rest = map(_escape, doc.splitlines())
                entry = [f"{field} : {first}", *(f"    {line}" for line in rest)]
                if field in arguments or not dataclasses.is_dataclass(value):
                    parameters += entry
                elif base is value:
                    sections.setdefault("Attributes", []).extend(entry)
        if bases := _documented_bases(value):
            preamble += [f"It has the methods and attributes of `{bases[0].__name__}`.", ""]
        if issubclass(value, enum.Enum):
            sections["Attributes"] = [f"{each.name} : {each.value}" for each in value]
    sections["Parameters"] = parameters + sections.get("Parameters", [])
    raises = _entries(sections.get("Raises", []))
    sections["Raises"] = [re.sub(r"^\w+$", r"`\g<0>`", line) for line in raises]
    lines[:] = preamble
    for title in sorted(sections, key=lambda title: title != "Parameters"):
        if sections[title]:
            lines += [title, "-" * len(title), *_entries(sections[title]), ""]


def _paragraphs(lines: list[str]) -> list[list[str]]:
    return [part.split("\n") for part in re.split(r"\n\n+", "\n".join(lines).strip("\n")) if part]


def _sections(lines: list[str]) -> dict[str, list[str]]:
    starts = [k for k in range(len(lines) - 1) if re.match("-{3,}$", lines[k + 1])]
    ends = [*starts[1:], len(lines)][: len(starts)]
    return {lines[k]: lines[k + 2 : end] for k, end in zip(starts, ends, strict=True)}


def _entries(lines: list[str]) -> list[str]:
    found = []
    for line in lines:
        match = ENTRY.match(line)
        found += [match[1], f"    {match[2]}"] if match else [line]
    return found


def _escape(line: str) -> str:
    """Return a line whose signs mean nothing in RST, outside of backticks; pages become links."""
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"([|*]|\w_(?!\w))", _with_backslash, part) for part in parts[::2]]
    return re.sub(rf"`?\b({PAGE.pattern})`?", r"`\1`", "".join(parts))


def _with_backslash(match: re.Match[str]) -> str:
    return match[1][:-1] + "\\" + match[1][-1]


def _code_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Show a text in backticks as code; link it if it is a public name, a page or `examples/`.

    Scripts and their notebooks, which readers download, show the text as it is.
    """
    text = nodes.unescape(text)
    literal = nodes.literal(text, text, classes=["code"])
    page = PAGE.fullmatch(text)
    if page or text == "examples/":
        target = f"/{page[1]}" if page else "/gallery/index"
        return XRefRole()("std:doc", rawtext, target, lineno, inliner)
    if not IDENTIFIER.fullmatch(text):
        return [literal], []
    context = inliner.document.settings.env.ref_context
    reference = addnodes.pending_xref(
        rawtext, literal, refdomain="py", reftype="obj", reftarget=text, is_code=True
    )
    reference["py:module"] = context.get("py:module")
    reference["py:class"] = context.get("py:class")
    reference["refdoc"] = inliner.document.settings.env.docname
    return [reference], []


def _find_public(app: Sphinx, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    """Resolve a public name by its last part, as in `coopetition.dynamics.solve.solve`."""
    if node.get("refdomain") != "py":
        return None
    home, _, rest = node["reftarget"].partition(".")
    home = home if rest else (node.get("py:module") or "").partition(".")[0]
    last = node["reftarget"].rpartition(".")[2]
    is_word = node.get("is_code") and not rest and last.isalpha() and last.islower()
    names = names_by_last_part().get(last, []) if home in PACKAGES and not is_word else []
    for name in sorted(names, key=lambda name: not name.startswith(f"{home}.")):
        entry = env.get_domain("py").objects[name]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content)
    return content if node.get("is_code") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, the role and the rewriting of docstrings."""
    app.add_directive("names", Names)
    app.add_role("code_or_link", _code_role)
    app.connect("autodoc-process-docstring", _to_numpydoc, priority=400)
    app.connect("autodoc-process-signature", _short_signature, priority=400)
    app.connect("missing-reference", _find_public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
