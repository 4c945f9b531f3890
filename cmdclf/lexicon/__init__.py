"""Templates with slots: load, check and render them; replay any labelled pool as daily telemetry."""

from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.render import Rendered, render
from cmdclf.lexicon.template import Lexicon, Template

__all__ = ["Estate", "Lexicon", "Rendered", "Template", "render"]
