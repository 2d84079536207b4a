"""Gene symbols of transcription factors, from the names that motif collections give."""

from __future__ import annotations

import re

# HOCOMOCO names motifs by UniProt mnemonics of at most five letters. Those built by a rule, then the rest.
_RULES = [
    (re.compile(rule), symbol)
    for rule, symbol in (
        (r"ZN(\d+[A-Z]?)", r"ZNF\1"),
        (r"Z(\d{3}[A-Z])", r"ZNF\1"),
        (r"ZBT(\d+[A-Z]?)", r"ZBTB\1"),
        (r"ZKSC(\d)", r"ZKSCAN\1"),
        (r"ZS(?:C|CA|A)(\d+[A-Z]?)", r"ZSCAN\1"),
        (r"ZF(\d\d[A-Z])", r"ZFP\1"),
        (r"HX([ABCD]\d+)", r"HOX\1"),
        (r"NKX(\d)(\d)", r"NKX\1-\2"),
        (r"PO(\d)F(\d)", r"POU\1F\2"),
        (r"PRD(\d+)", r"PRDM\1"),
        (r"BHE(\d+)", r"BHLHE\1"),
        (r"CR3L(\d)", r"CREB3L\1"),
        (r"NFAC(\d)", r"NFATC\1"),
        (r"NF2L(\d)", r"NFE2L\1"),
        (r"NDF(\d)", r"NEUROD\1"),
        (r"NGN(\d)", r"NEUROG\1"),
        (r"AP2([A-E])", r"TFAP2\1"),
        (r"COE(\d)", r"EBF\1"),
        (r"COT(\d)", r"NR2F\1"),
        (r"STA(\d[AB])", r"STAT\1"),
        (r"SRBP(\d)", r"SREBF\1"),
        (r"TWST(\d)", r"TWIST\1"),
        (r"TF7L(\d)", r"TCF7L\1"),
        (r"HME(\d)", r"EN\1"),
        (r"HEN(\d)", r"NHLH\1"),
        (r"BARH(\d)", r"BARHL\1"),
        (r"ONEC(\d)", r"ONECUT\1"),
        (r"PHX2([AB])", r"PHOX2\1"),
        (r"PKNX(\d)", r"PKNOX\1"),
        (r"RHXF(\d)", r"RHOXF\1"),
        (r"SMCA(\d)", r"SMARCA\1"),
        (r"TYY(\d)", r"YY\1"),
        (r"P([67]3|53)", r"TP\1"),
        (r"TH([AB])", r"THR\1"),
        (r"MAD([134])", r"MXD\1"),
        (r"ARI(\d[AB])", r"ARID\1"),
        (r"ZEP(\d)", r"HIVEP\1"),
    )
]
_SYMBOLS = dict(
    pair.split(":")
    for pair in (
        "ANDR:AR ATF6A:ATF6 BHA15:BHLHA15 BC11A:BCL11A BRAC:TBXT BSH:BSX DMRTA:DMRTA1 DMRTB:DMRTB1 DMRTD:DMRTC2 "
        "DMTA2:DMRTA2 ERR1:ESRRA ERR2:ESRRB ERR3:ESRRG EVI1:MECOM FER3L:FERD3L GCR:NR3C1 HMBX1:HMBOX1 HNF6:ONECUT1 "
        "HTF4:TCF12 ITF2:TCF4 KAISO:ZBTB33 LRRF1:LRRFIP1 MCR:NR3C2 MGAP:MGA MLXPL:MLXIPL MUSC:MSC MYBA:MYBL1 "
        "MYBB:MYBL2 OZF:ZNF146 P5F1B:POU5F1B PEBB:CBFB PIT1:POU1F1 PRGR:PGR RORG:RORC RX:RAX SOLH2:SOHLH2 STF1:NR5A1 "
        "SUH:RBPJ TF2L1:TFCP2L1 TF2LX:TGIF2LX TF2LY:TGIF2LY TF65:RELA TFE2:TCF3 THA11:THAP11 TZAP:ZBTB48 UBIP1:UBP1 UNC4:UNCX "
        "YBOX1:YBX1 Z324A:ZNF324 ZF64B:ZFP64"
    ).split()
)


_IDENTIFIER = re.compile(r"(MA|UN|PB|PF|PH|PL)\d{4}(\.\d+)?|M\d{4,5}(_\d+\.\d+)?")  # of JASPAR, CIS-BP, TRANSFAC


def tf_names(motif: str, other: str = "") -> list[str]:
    """Gene symbols of the factors of a motif, upper case, in the order of the name.

    Parameters
    ----------
    motif
        Its identifier. Without another name the symbol is what stands before the first ``.`` or ``_``, as in HOCOMOCO
        (``TF65.H12CORE.0.P.B``), Jolma 2013 (``GATA3_GATA_1``) and Vierstra's archetypes (``RREB1_MA0073.1``); a bare
        identifier such as ``MA0004.1`` tells no symbol.
    other
        Its other name, as JASPAR has (``MA0099.3 FOS::JUN``) and CIS-BP (``M0082_1.02 (TFAP2A)_(Homo_sapiens)``).

    Examples
    --------
    >>> tf_names("TF65.H12CORE.0.P.B"), tf_names("MA0019.1", "Ddit3::Cebpa")
    (['RELA'], ['DDIT3', 'CEBPA'])
    """
    text = other.split()[0] if other.split() else re.split(r"[._]", motif)[0]
    if _IDENTIFIER.fullmatch(text if other.split() else motif):
        return []
    cisbp = re.match(r"\(([^()]+)\)_\(", text)
    text = cisbp[1] if cisbp else re.sub(r"\(var\.\d+\)$", "", text)
    from_uniprot = re.search(r"\.H\d\d(CORE|MO|INVIVO|INVITRO|RSNP)\.", motif) is not None
    return [_symbol(part) if from_uniprot else part for part in text.upper().split("::") if part]


def _symbol(mnemonic: str) -> str:
    """Gene symbol of a human protein named by UniProt's mnemonic."""
    if mnemonic in _SYMBOLS:
        return _SYMBOLS[mnemonic]
    matches = ((rule.fullmatch(mnemonic), symbol) for rule, symbol in _RULES)
    return next((match.expand(symbol) for match, symbol in matches if match), mnemonic)
