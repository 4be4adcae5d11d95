"""Late samples for Home Assistant's long-term statistics, at the hours in which they were measured.

``receiving`` takes samples from the broker, ``store`` keeps them as sums per hour, and ``rounds``
imports these hours. docs/backfill.md describes the rules.
"""
