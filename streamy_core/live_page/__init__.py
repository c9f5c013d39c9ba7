"""The live page, for an operator: what all processes of the app are doing, drawn live.

It is served at `/streamy/` by a manager's blueprint, to those only whom `STREAMY_OVERVIEW` lets in.
"""

from .views import add_live_page

__all__ = ["add_live_page"]
