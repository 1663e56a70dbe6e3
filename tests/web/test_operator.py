"""What an operator says of himself is checked when it is read, and every key of it is named where it does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from repzone.config import GROUNDS, TEMPLATE, contrast
from repzone.errors import ConfigError
from tests.web.site_of import settings, site

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[operator]\ncontact = "javascript:alert(1)"', "operator.contact: "),
        ('[operator]\ncontact = "http://example.net"', "operator.contact: "),
        ('[operator]\nabuse = "nobody"', "operator.abuse: "),
        ('[operator]\nname = ""', "operator.name: "),
        ('[operator]\nlanguage = "de"', "operator.language: "),
        ('[operator]\ncolour = "red"', "operator.colour: write a colour as #rrggbb"),
        ('[operator]\ncolour = "#ffff00"', "a contrast of 4.5 is needed"),
        ('[operator]\ncolour_dark = "#222222"', "operator.colour_dark: "),
        ('[operator]\ncolour = "#000000;}body{display:none"', "operator.colour: "),
        ('[operator]\nlogo = "none.svg"', "operator.logo: "),
        ('[operator]\nlogo = "repzone.toml"', "a logo is .svg, .png, .webp"),
        ("[operator.paragraphs]\nde = ['x']", "operator.paragraphs"),
        ("[operator]\nnme = 'x'", "operator.nme: "),
        ('public_detail = "all"', "public_detail: "),
        ('trusted_proxies = ["localhost"]', "trusted_proxies"),
        ('web_listen = ["8053"]', "web_listen"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(tmp_path, more + "\n")
    assert said in str(error.value)
    assert "repzone.toml" in str(error.value)


def test_a_logo_and_colours_become_files_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_bytes(SVG)
    made = site(tmp_path, '[operator]\nlogo = "logo.svg"\ncolour = "#003300"\n')
    assert (made.assets["logo"].octets, made.assets["logo"].type) == (SVG, "image/svg+xml")
    assert made.assets["theme.css"].octets.startswith(b":root{--link:#003300}")
    before = made.asset("theme.css")
    assert site(tmp_path, '[operator]\ncolour = "#000033"\n').asset("theme.css") != before


def test_the_template_that_init_writes_holds_with_every_key_in_force(tmp_path: Path) -> None:
    operator = TEMPLATE[TEMPLATE.index("[operator]\n") :].replace("\n# ", "\n").replace('logo = "logo.svg"', "#")
    made = site(tmp_path, operator)
    assert made.name == "example.net"
    assert made.operator.contact == "postmaster@example.net"
    assert set(made.operator.paragraphs) == {"en", "fr"}


def test_black_on_white_is_the_most_there_is() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.01)
    css = (Path(__file__).parents[2] / "repzone" / "web" / "static" / "page.css").read_text()
    assert all(f"--bg:{ground}" in css for ground in GROUNDS.values())
