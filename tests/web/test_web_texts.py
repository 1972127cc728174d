"""The words of `ppgan-apps serve`: both languages say the same things, and the right one is chosen."""
import re
import string
from pathlib import Path

import pytest

import ppgan_apps.web
from ppgan_apps.web import faults, texts

SOURCES = [path.read_text(encoding="utf-8") for path in Path(ppgan_apps.web.__file__).parent.glob("*.py")]


@pytest.mark.parametrize("key", texts.keys())
def test_both_languages_have_a_text_with_the_same_places(key):
    def places(language):
        wanted = {name: name for name in ("limit width height seconds style styles name allowed low high detail "
                                          "position drawn total weights licence side frames").split()}
        assert texts.text(key, language, **wanted)
        pattern = texts._TEXTS[key][texts.LANGUAGES.index(language)]
        return {name for _, name, _, _ in string.Formatter().parse(pattern) if name}
    assert places("zh") <= places("en") or key == "fault.missing_extra"
    chinese = texts._TEXTS[key][1]
    assert re.search("[\u4e00-\u9fff]", chinese) and not re.search("[\u4e00-\u9fff]", texts._TEXTS[key][0])


def test_every_refusal_has_a_sentence():
    codes = {code for source in SOURCES for code in re.findall(r'Refusal\("(\w+)"', source)}
    codes |= {code for _, code, _ in faults.KINDS}
    assert len(codes) > 10 and {f"fault.{code}" for code in codes} <= set(texts.keys())


@pytest.mark.parametrize("asked, accepted, language", [
    (None, None, "en"), (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"), (None, "en-GB,en;q=0.9,zh;q=0.2", "en"),
    (None, "fr;q=1.0, zh;q=0.8, en;q=0.1", "zh"), ("zh_TW", "en", "zh"), ("en", "zh", "en"), ("fr", "zh", "zh"),
    (None, "zh;q=0, en", "en"), (None, "zh;q=oops", "en"), (None, ";;,,=", "en")])
def test_language_of_a_client(asked, accepted, language):
    assert texts.choose(asked, accepted) == language
