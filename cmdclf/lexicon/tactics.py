"""In which order the techniques of an intrusion come: the stage of each ATT&CK technique."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["LATERAL", "STAGES", "stage_of"]

#: Names of the stages, in the order in which an intrusion comes to them.
STAGES = (
    "entry", "execution", "persistence", "evasion", "discovery", "credentials", "lateral", "collection", "control",
    "exfiltration", "impact",
)  # fmt: skip
LATERAL = STAGES.index("lateral")
#: Stage -> techniques; one with several tactics stands where a command line most often shows it.
_TECHNIQUES = {
    "entry": (
        "T1566 T1190 T1189 T1195 T1204 T1203 T1091 T1133 T1078 T1199 T1200 T1583 T1584 T1585 T1586 T1587 T1588 T1589 "
        "T1590 T1591 T1592 T1593 T1594 T1595 T1596 T1597 T1598 T1608 T1650 T1659 T1669 T1681"
    ),
    "execution": (
        "T1059 T1047 T1053 T1106 T1129 T1218 T1216 T1220 T1127 T1105 T1197 T1140 T1202 T1072 T1609 T1610 T1620 T1055 "
        "T1559 T1648 T1651 T1674 T1675 T1677"
    ),
    "persistence": (
        "T1547 T1546 T1543 T1136 T1098 T1505 T1037 T1574 T1176 T1137 T1556 T1068 T1548 T1134 T1484 T1611 T1525 T1542 "
        "T1554 T1653 T1668 T1671"
    ),
    "evasion": (
        "T1562 T1112 T1564 T1036 T1070 T1222 T1553 T1027 T1014 T1497 T1480 T1207 T1600 T1601 T1599 T1006 T1211 T1221 "
        "T1535 T1578 T1612 T1622 T1647 T1656 T1666 T1672 T1678 T1679"
    ),
    "discovery": (
        "T1082 T1083 T1033 T1087 T1069 T1018 T1016 T1049 T1057 T1007 T1012 T1046 T1135 T1482 T1518 T1613 T1615 T1201 "
        "T1120 T1124 T1010 T1217 T1526 T1538 T1580 T1619 T1654 T1040 T1614 T1652 T1673 T1680"
    ),
    "credentials": "T1003 T1552 T1555 T1558 T1110 T1056 T1539 T1528 T1187 T1649 T1557 T1606 T1621 T1212 T1111",
    "lateral": "T1021 T1570 T1550 T1563 T1210 T1569 T1534 T1080",
    "collection": "T1560 T1005 T1039 T1074 T1113 T1115 T1114 T1213 T1119 T1123 T1125 T1185 T1530 T1602 T1025",
    "control": "T1071 T1090 T1095 T1219 T1572 T1573 T1102 T1132 T1001 T1008 T1104 T1205 T1568 T1571 T1092 T1665",
    "exfiltration": "T1041 T1048 T1567 T1537 T1030 T1020 T1011 T1029 T1052",
    "impact": "T1486 T1490 T1489 T1485 T1491 T1496 T1531 T1561 T1565 T1498 T1499 T1529 T1495 T1657 T1667",
}
_STAGE = {name: STAGES.index(stage) for stage, names in _TECHNIQUES.items() for name in names.split()}


def stage_of(techniques: Iterable[str]) -> int:
    """The place in `STAGES` of the latest of some techniques (`T1059.001`); execution where none is known."""
    known = [_STAGE[name.split(".")[0]] for name in techniques if name.split(".")[0] in _STAGE]
    return max(known, default=STAGES.index("execution"))
