"""Results of scales, cuffs, thermometers and oximeters: one for each measurement, newest live.

`kind` describes a kind of result, `age` judges by a device's clock which result is the newest, and
`episodes` makes results of what a device sends. docs/adr/0005-results-are-episodes.md has the
rules.
"""
