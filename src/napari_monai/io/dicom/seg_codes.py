"""What segments are, in the SNOMED codes of DICOM: of common organs, tissues and findings.

The codes are those of PS3.16 CID 7150 (categories), 7151 and the context groups that it includes,
and 8135 (parts of cells). A name that is not among them is said to be a tissue, which
is true of nearly all that is segmented; the name itself stands in the segment's label.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STRUCTURE = ("91723000", "Anatomical Structure")
ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
TISSUE = ("85756007", "Tissue")
SUBSTANCE = ("91720002", "Body Substance")
LEFT, RIGHT = ("7771000", "Left"), ("24028007", "Right")

_STRUCTURES = {
    "adrenal gland": ("23451007", "Adrenal gland"),
    "aorta": ("15825003", "Aorta"),
    "artery": ("51114001", "Artery"),
    "bladder": ("89837001", "Bladder"),
    "blood vessel": ("59820001", "Blood Vessel"),
    "brain": ("12738006", "Brain"),
    "breast": ("76752008", "Breast"),
    "cell": ("4421005", "Cell"),
    "cerebellum": ("113305005", "Cerebellum"),
    "clavicle": ("51299004", "Clavicle"),
    "colon": ("71854001", "Colon"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "eye": ("81745001", "Eye"),
    "femur": ("71341001", "Femur"),
    "gallbladder": ("28231008", "Gallbladder"),
    "gray matter": ("389081007", "Gray Matter"),
    "heart": ("80891009", "Heart"),
    "hippocampus": ("5366008", "Hippocampus"),
    "humerus": ("85050009", "Humerus"),
    "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"),
    "large intestine": ("14742008", "Large intestine"),
    "left atrium": ("82471001", "Left atrium"),
    "left ventricle": ("87878005", "Left ventricle"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "mandible": ("91609006", "Mandible"),
    "nucleus": ("84640000", "Nucleus"),
    "ovary": ("15497006", "Ovary"),
    "pancreas": ("15776009", "Pancreas"),
    "parotid gland": ("45289007", "Parotid gland"),
    "portal vein": ("32764006", "Portal vein"),
    "prostate": ("41216001", "Prostate"),
    "pulmonary artery": ("81040000", "Pulmonary artery"),
    "rectum": ("34402009", "Rectum"),
    "rib": ("113197003", "Rib"),
    "right atrium": ("73829009", "Right atrium"),
    "right ventricle": ("53085002", "Right ventricle"),
    "sacrum": ("54735007", "Sacrum"),
    "scapula": ("79601000", "Scapula"),
    "skin": ("39937001", "Skin"),
    "skull": ("89546000", "Skull"),
    "small intestine": ("30315005", "Small intestine"),
    "spinal cord": ("2748008", "Spinal cord"),
    "spleen": ("78961009", "Spleen"),
    "sternum": ("56873002", "Sternum"),
    "stomach": ("69695003", "Stomach"),
    "submandibular gland": ("54019009", "Submandibular gland"),
    "superior vena cava": ("48345005", "Superior vena cava"),
    "thyroid": ("69748006", "Thyroid"),
    "tooth": ("38199008", "Tooth"),
    "trachea": ("44567001", "Trachea"),
    "uterus": ("35039007", "Uterus"),
    "vein": ("29092000", "Vein"),
    "vertebra": ("51282000", "Vertebra"),
    "white matter": ("389080008", "White Matter"),
}
_TISSUES = {
    "bone": ("3138006", "Bone"),
    "fat": ("55603005", "Fat"),
    "muscle": ("91727004", "Muscle"),
    "tissue": TISSUE,
}
_FINDINGS = {
    "cyst": ("367643001", "Cyst"),
    "edema": ("79654002", "Edema"),
    "hemorrhage": ("50960005", "Hemorrhage"),
    "lesion": ("52988006", "Lesion"),
    "necrosis": ("6574001", "Necrosis"),
    "neoplasm": ("108369006", "Neoplasm"),
    "nodule": ("27925004", "Nodule"),
}
_SUBSTANCES = {"cerebrospinal fluid": ("65216001", "Cerebrospinal Fluid")}
_TABLES = (
    (_STRUCTURES, STRUCTURE),
    (_TISSUES, TISSUE),
    (_FINDINGS, ABNORMAL),
    (_SUBSTANCES, SUBSTANCE),
)
_OTHER_NAMES = {
    "adipose": "fat", "adrenal": "adrenal gland", "bones": "bone", "cells": "cell",
    "cell nuclei": "nucleus", "cell nucleus": "nucleus", "csf": "cerebrospinal fluid",
    "gall bladder": "gallbladder", "grey matter": "gray matter", "haemorrhage": "hemorrhage",
    "kidneys": "kidney", "lesions": "lesion", "lungs": "lung", "muscles": "muscle",
    "nuclei": "nucleus", "nodules": "nodule", "oedema": "edema", "oesophagus": "esophagus",
    "ribs": "rib", "small bowel": "small intestine", "thyroid gland": "thyroid",
    "tumor": "neoplasm", "tumour": "neoplasm", "urinary bladder": "bladder",
    "vertebrae": "vertebra", "vessel": "blood vessel", "vessels": "blood vessel",
}  # fmt: skip
_SIDES = {"left": LEFT, "l": LEFT, "right": RIGHT, "r": RIGHT}


@dataclass(frozen=True)
class Meaning:
    """The codes of a segment, each a code value of SNOMED and its meaning."""

    category: tuple[str, str]
    type: tuple[str, str]
    side: tuple[str, str] | None = None


def meaning_of(name: str) -> Meaning:
    """Return what a class is by its name: ``"kidney_left"`` is a kidney on the left."""
    words = re.findall(r"[a-z]+", name.lower())
    known = _known(" ".join(words))
    if known is not None:
        return Meaning(*known)
    sides = {_SIDES[w] for w in words if w in _SIDES}
    known = _known(" ".join(w for w in words if w not in _SIDES))
    if known is not None and len(sides) == 1:
        return Meaning(*known, side=sides.pop())
    return Meaning(TISSUE, TISSUE)


def _known(name: str) -> tuple[tuple[str, str], tuple[str, str]] | None:
    name = _OTHER_NAMES.get(name, name)
    return next(((category, table[name]) for table, category in _TABLES if name in table), None)
