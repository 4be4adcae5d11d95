"""healthd against other programs, or against another commit of itself, in the same rounds.

All get the same stand-ins, broker and subscriber: the ones of the working tree.
"""
