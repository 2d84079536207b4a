"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import shutil
import urllib.request
from datetime import date
from importlib.metadata import metadata
from pathlib import Path

from sphinx.ext.napoleon import NumpyDocstring

HERE = Path(__file__).parent
ROOT = HERE.parent

_info = metadata("scget")
project = _info["Name"]
author = _info["Author"]
release = version = _info["Version"]
copyright = f"{date.today():%Y}, {author}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
]
root_doc = "index"
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "jupyter_execute", ".jupyter_cache"]

autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_include_init_with_doc = False
napoleon_use_rtype = True
napoleon_use_param = True
napoleon_use_ivar = True  # fields of a dataclass are told of once, in its docstring
typehints_defaults = "braces"
always_use_bars_union = True
suppress_warnings = [
    # Types imported for the type checker alone stay text, not links.
    "sphinx_autodoc_typehints.guarded_import",
    "sphinx_autodoc_typehints.forward_reference",
]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tutorials are kept executed

html_theme = "sphinx_book_theme"
html_extra_path = ["llms.txt"]  # at the root of the site, as llmstxt.org has it
html_title = project
html_theme_options = {"path_to_docs": "docs/", "show_toc_level": 2}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def _reachable(manuals: dict[str, str]) -> dict[str, tuple[str, None]]:
    """Keep the manuals whose inventory can be read, so that the docs also build without a network."""
    found: dict[str, tuple[str, None]] = {}
    for name, url in manuals.items():
        try:
            with urllib.request.urlopen(f"{url}/objects.inv", timeout=5):
                found[name] = (url, None)
        except OSError:
            if not found:
                return {}  # the first one failed: no network, so do not wait for the others
    return found


intersphinx_mapping = _reachable(
    {
        "python": "https://docs.python.org/3",
        "numpy": "https://numpy.org/doc/stable",
        "scipy": "https://docs.scipy.org/doc/scipy",
        "pandas": "https://pandas.pydata.org/docs",
        "matplotlib": "https://matplotlib.org/stable",
        "anndata": "https://anndata.readthedocs.io/en/stable",
        "mudata": "https://mudata.readthedocs.io/stable",
        "scanpy": "https://scanpy.readthedocs.io/en/stable",
        "scvi-tools": "https://docs.scvi-tools.org/en/stable",
        "torch": "https://docs.pytorch.org/docs/stable",
    }
)


def _returns(self: NumpyDocstring, section: str) -> list[str]:
    """Read what stands below Returns as text: types stand in the signature."""
    text = self._dedent(self._consume_to_next_section())
    return self._format_block(":returns: ", text)


NumpyDocstring._parse_returns_section = _returns

# Tutorials live beside src, where people look for them; Sphinx reads only below docs.
_target = HERE / "tutorials"
shutil.rmtree(_target, ignore_errors=True)
_target.mkdir()
_notebooks = sorted((ROOT / "tutorials").glob("*.ipynb"))
for _notebook in _notebooks:
    shutil.copy(_notebook, _target)
_list = (
    ["```{toctree}", ":maxdepth: 1", "", *(path.stem for path in _notebooks), "```"] if _notebooks else ["None yet."]
)
(_target / "index.md").write_text("\n".join(["# Tutorials", "", *_list, ""]), encoding="utf-8")
