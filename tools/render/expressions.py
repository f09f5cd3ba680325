"""Expressions as the face muscles that make them."""

__all__ = ["ACTION_UNITS", "EXPRESSIONS", "VIVID_EXPRESSIONS"]

# FACS action units as ARKit's face units, which end in Left and Right where they have sides.
# Source: Ekman, Friesen, Hager 2002, Facial Action Coding System. Full strength, but a jaw
# drop (26) is a part of the full opening (27), and no face unit is the lip tightener (23):
# lips half rolled in come nearest to it.
ACTION_UNITS: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 1.0},
    7: {"eyeSquint": 1.0},
    9: {"noseSneer": 1.0},
    10: {"mouthUpperUp": 1.0},
    12: {"mouthSmile": 1.0},
    15: {"mouthFrown": 1.0},
    16: {"mouthLowerDown": 1.0},
    17: {"mouthShrugLower": 1.0},
    20: {"mouthStretch": 1.0},
    22: {"mouthFunnel": 1.0},
    23: {"mouthRollUpper": 0.5, "mouthRollLower": 0.5},
    25: {"mouthLowerDown": 0.5, "mouthUpperUp": 0.5},
    26: {"jawOpen": 0.4},
}
# Source: Friesen and Ekman 1983, EMFACS: the prototypes.
EXPRESSIONS: dict[str, tuple[int, ...]] = {
    "angry": (4, 5, 7, 23),
    "disgust": (9, 15, 16),
    "fear": (1, 2, 4, 5, 7, 20, 26),
    "happy": (6, 12),
    "neutral": (),
    "sad": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
}
# After ibid., with units added so that they are seen at a glance, and how much of each.
VIVID_EXPRESSIONS: dict[str, dict[int, float]] = {
    "angry": {4: 1, 5: 1, 7: 1, 10: 1, 22: 0.6, 23: 1, 25: 1, 26: 0.5},
    "disgust": {4: 1, 7: 1, 9: 1, 10: 1, 17: 1},
    "fear": {1: 1, 2: 1, 4: 1, 5: 1, 20: 1, 25: 1},
    "happy": {6: 1, 12: 1, 25: 1},
    "neutral": {},
    "sad": {1: 1, 4: 1, 15: 1},
    "surprise": {1: 1, 2: 1, 5: 1, 26: 1},
}
