"""The vocabulary of the Visual Relationship Detection data set, in the published order."""

from __future__ import annotations

from graphkit.datasets.scenes.vocabulary import SceneVocabulary

__all__ = ["VRD_VOCABULARY"]

OBJECTS = (
    "person, sky, building, truck, bus, table, shirt, chair, car, train, glasses, tree, boat, hat, "
    "trees, grass, pants, road, motorcycle, jacket, monitor, wheel, umbrella, plate, bike, clock, "
    "bag, shoe, laptop, desk, cabinet, counter, bench, shoes, tower, bottle, helmet, stove, lamp, "
    "coat, bed, dog, mountain, horse, plane, roof, skateboard, traffic light, bush, phone, "
    "airplane, sofa, cup, sink, shelf, box, van, hand, shorts, post, jeans, cat, sunglasses, bowl, "
    "computer, pillow, pizza, basket, elephant, kite, sand, keyboard, plant, can, vase, "
    "refrigerator, cart, skis, pot, surfboard, paper, mouse, trash can, cone, camera, ball, bear, "
    "giraffe, tie, luggage, faucet, hydrant, snowboard, oven, engine, watch, face, street, ramp, "
    "suitcase"
)
PREDICATES = (
    "on, wear, has, next to, sleep next to, sit next to, stand next to, park next, walk next to, "
    "above, behind, stand behind, sit behind, park behind, in the front of, under, stand under, "
    "sit under, near, walk to, walk, walk past, in, below, beside, walk beside, over, hold, by, "
    "beneath, with, on the top of, on the left of, on the right of, sit on, ride, carry, look, "
    "stand on, use, at, attach to, cover, touch, watch, against, inside, adjacent to, across, "
    "contain, drive, drive on, taller than, eat, park on, lying on, pull, talk, lean on, fly, "
    "face, play with, sleep on, outside of, rest on, follow, hit, feed, kick, skate on"
)
VRD_VOCABULARY = SceneVocabulary(tuple(OBJECTS.split(", ")), tuple(PREDICATES.split(", ")))
