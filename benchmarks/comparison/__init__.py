"""The working tree against another commit, built beside it: ``--against COMMIT``.

Both are measured in the same rounds, with the same stand-ins, broker and subscriber: the ones of
the working tree. ``product`` is the new one, ``floor`` the old one.
"""
