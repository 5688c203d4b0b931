"""Small scene-graph sets in exactly the published formats."""

from __future__ import annotations

import json
from pathlib import Path

PERSON, SHIRT, HORSE = 0, 6, 43
WEAR, RIDE = 1, 35


def mention(category: int, *bbox: int) -> dict:
    """One end of a triple; boxes are top, bottom, left, right."""
    return {"category": category, "bbox": list(bbox)}


def write_vrd(root: Path) -> Path:
    """A rider with a shirt, an image without triples, and two riders on one horse."""
    rider = mention(PERSON, 10, 60, 20, 40)
    shirt, horse = mention(SHIRT, 20, 40, 20, 40), mention(HORSE, 40, 100, 0, 80)
    train = {
        "a.jpg": [
            {"predicate": WEAR, "subject": rider, "object": shirt},
            {"predicate": RIDE, "subject": rider, "object": horse},
            {"predicate": RIDE, "subject": rider, "object": horse},
        ],
        "b.jpg": [],
    }
    other = mention(PERSON, 5, 60, 45, 60)
    test = {
        "c.jpg": [
            {"predicate": RIDE, "subject": rider, "object": horse},
            {"predicate": RIDE, "subject": other, "object": horse},
        ]
    }
    folder = root / "VRD"
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("test", test)):
        (folder / f"annotations_{name}.json").write_text(json.dumps(part))
    return folder


def thing(number: int, name: str, *box: int) -> dict:
    """An object of Visual Genome; boxes are left, top, width, height."""
    x, y, w, h = box
    return {"object_id": number, "names": [name], "x": x, "y": y, "w": w, "h": h}


def relation(number: int, subject: int, predicate: str, object_: int) -> dict:
    """A relationship of Visual Genome, with what is read of its ends."""
    ends = {"subject": {"object_id": subject}, "object": {"object_id": object_}}
    return {"relationship_id": number, "predicate": predicate, **ends}


def write_visual_genome(root: Path) -> Path:
    """Photographs 1 to 3 train, 4 validates, 5 tests, 6 is too small."""
    images = [{"image_id": i, "width": 400, "height": 100 if i == 6 else 300} for i in range(1, 7)]
    objects, relationships = [], []
    for i in range(1, 7):
        a, b, c, d = (10 * i + k for k in range(4))
        things = [thing(a, "man", 0, 0, 100, 150), thing(b, "guy", 100, 30, 50, 50)]
        things += [thing(c, "horse", 0, 100, 300, 150), thing(d, "ant", 5, 5, 40, 40)]
        things += [thing(10 * i + 9, "horse", 5, 5, 31, 40)]
        objects.append({"image_id": i, "objects": things})
        rows = [relation(100 * i, a, " ON", c), relation(100 * i + 1, b, "on top of", c)]
        rows += [relation(100 * i + 2, a, "near", d), relation(100 * i + 3, b, "rare", a)]
        relationships.append({"image_id": i, "relationships": rows})
    splits = {"train": [1, 2, 3, 6], "val": [4], "test": [5]}
    folder = root / "VisualGenome"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"image_data": images, "objects": objects, "relationships": relationships}
    for name, value in {**content, "vg_splits": splits}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "object_alias.txt").write_text("man, guy,gentleman\ntree,trees\n")
    (folder / "relationship_alias.txt").write_text("on,on top of\n")
    return folder


VG_LIMITS = {"min_object_instances": 3, "min_predicate_instances": 4}
