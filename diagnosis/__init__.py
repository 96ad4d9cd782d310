"""What a dump says about its card: rules, one file per block, and the findings they make.

    verdict = diagnose(dump)
    verdict.card, verdict.findings, verdict.lost

Knows no ELF and no terminal. `docs/reference/diagnosis.md` lists all rules.
"""

if __name__ != "vmcoredd.diagnosis":
    raise ImportError("import vmcoredd.diagnosis, not diagnosis")

from vmcoredd.diagnosis.finding import Evidence, Finding, Severity
from vmcoredd.diagnosis.identity import Identity
from vmcoredd.diagnosis.queues import BUSY
from vmcoredd.diagnosis.rule import Rule, all_rules
from vmcoredd.diagnosis.traffic import Traffic
from vmcoredd.diagnosis.verdict import Verdict, diagnose

__all__ = [
    "BUSY",
    "Evidence",
    "Finding",
    "Identity",
    "Rule",
    "Severity",
    "Traffic",
    "Verdict",
    "all_rules",
    "diagnose",
]
