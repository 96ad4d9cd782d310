"""The rules, one file per block. A new file, or a new rule in one, is found by itself:
`diagnosis.rule` shows how a rule is written, and `diagnosis.causes` how a table of bits is."""
