"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake that the user can cure.

    The message is one line: what was found, what was expected, and the cure. Launch scripts print
    it without a traceback and exit with code 2.
    """
