"""The ADE20K classes that the scenes show, with their true ids and names (MIT SceneParse150)."""

from enum import IntEnum

__all__ = ["NAMES", "Ade"]


class Ade(IntEnum):
    """Source ids of ADE20K; `OTHER` is what the dataset does not name."""

    OTHER = 0
    WALL = 1
    BUILDING = 2
    SKY = 3
    FLOOR = 4
    TREE = 5
    CEILING = 6
    ROAD = 7
    BED = 8
    WINDOW = 9
    GRASS = 10
    CABINET = 11
    SIDEWALK = 12
    PERSON = 13
    EARTH = 14
    DOOR = 15
    TABLE = 16
    MOUNTAIN = 17
    PLANT = 18
    CURTAIN = 19
    CHAIR = 20
    CAR = 21
    WATER = 22
    PAINTING = 23
    SOFA = 24
    SHELF = 25
    HOUSE = 26
    SEA = 27
    MIRROR = 28
    RUG = 29
    FIELD = 30
    ARMCHAIR = 31
    FENCE = 33
    DESK = 34
    ROCK = 35
    WARDROBE = 36
    LAMP = 37
    BATHTUB = 38
    RAILING = 39
    CUSHION = 40
    BOX = 42
    COLUMN = 43
    SIGNBOARD = 44
    CHEST = 45
    SAND = 47
    SINK = 48
    REFRIGERATOR = 51
    PATH = 53
    PILLOW = 58
    COFFEE_TABLE = 65
    TOILET = 66
    FLOWER = 67
    BOOK = 68
    HILL = 69
    BENCH = 70
    STOVE = 72
    PALM = 73
    COMPUTER = 75
    BOAT = 77
    BUS = 81
    TOWEL = 82
    LIGHT = 83
    AWNING = 87
    STREETLIGHT = 88
    TELEVISION = 90
    POLE = 94
    BOTTLE = 99
    VAN = 103
    BALL = 120
    POT = 126
    ANIMAL = 127
    HOOD = 134
    VASE = 136
    TRAFFIC_LIGHT = 137
    ASHCAN = 139
    PIER = 141
    CLOCK = 149
    FLAG = 150


NAMES: dict[Ade, str] = {
    Ade.WALL: "wall",
    Ade.BUILDING: "building, edifice",
    Ade.SKY: "sky",
    Ade.FLOOR: "floor, flooring",
    Ade.TREE: "tree",
    Ade.CEILING: "ceiling",
    Ade.ROAD: "road, route",
    Ade.BED: "bed",
    Ade.WINDOW: "windowpane, window",
    Ade.GRASS: "grass",
    Ade.CABINET: "cabinet",
    Ade.SIDEWALK: "sidewalk, pavement",
    Ade.PERSON: "person, individual, someone, somebody, mortal, soul",
    Ade.EARTH: "earth, ground",
    Ade.DOOR: "door, double door",
    Ade.TABLE: "table",
    Ade.MOUNTAIN: "mountain, mount",
    Ade.PLANT: "plant, flora, plant life",
    Ade.CURTAIN: "curtain, drape, drapery, mantle, pall",
    Ade.CHAIR: "chair",
    Ade.CAR: "car, auto, automobile, machine, motorcar",
    Ade.WATER: "water",
    Ade.PAINTING: "painting, picture",
    Ade.SOFA: "sofa, couch, lounge",
    Ade.SHELF: "shelf",
    Ade.HOUSE: "house",
    Ade.SEA: "sea",
    Ade.MIRROR: "mirror",
    Ade.RUG: "rug, carpet, carpeting",
    Ade.FIELD: "field",
    Ade.ARMCHAIR: "armchair",
    Ade.FENCE: "fence, fencing",
    Ade.DESK: "desk",
    Ade.ROCK: "rock, stone",
    Ade.WARDROBE: "wardrobe, closet, press",
    Ade.LAMP: "lamp",
    Ade.BATHTUB: "bathtub, bathing tub, bath, tub",
    Ade.RAILING: "railing, rail",
    Ade.CUSHION: "cushion",
    Ade.BOX: "box",
    Ade.COLUMN: "column, pillar",
    Ade.SIGNBOARD: "signboard, sign",
    Ade.CHEST: "chest of drawers, chest, bureau, dresser",
    Ade.SAND: "sand",
    Ade.SINK: "sink",
    Ade.REFRIGERATOR: "refrigerator, icebox",
    Ade.PATH: "path",
    Ade.PILLOW: "pillow",
    Ade.COFFEE_TABLE: "coffee table, cocktail table",
    Ade.TOILET: "toilet, can, commode, crapper, pot, potty, stool, throne",
    Ade.FLOWER: "flower",
    Ade.BOOK: "book",
    Ade.HILL: "hill",
    Ade.BENCH: "bench",
    Ade.STOVE: "stove, kitchen stove, range, kitchen range, cooking stove",
    Ade.PALM: "palm, palm tree",
    Ade.COMPUTER: (
        "computer, computing machine, computing device, data processor, electronic computer, "
        "information processing system"
    ),
    Ade.BOAT: "boat",
    Ade.BUS: (
        "bus, autobus, coach, charabanc, double-decker, jitney, motorbus, motorcoach, omnibus, passenger vehicle"
    ),
    Ade.TOWEL: "towel",
    Ade.LIGHT: "light, light source",
    Ade.AWNING: "awning, sunshade, sunblind",
    Ade.STREETLIGHT: "streetlight, street lamp",
    Ade.TELEVISION: (
        "television, television receiver, television set, tv, tv set, idiot box, boob tube, telly, goggle box"
    ),
    Ade.POLE: "pole",
    Ade.BOTTLE: "bottle",
    Ade.VAN: "van",
    Ade.BALL: "ball",
    Ade.POT: "pot, flowerpot",
    Ade.ANIMAL: "animal, animate being, beast, brute, creature, fauna",
    Ade.HOOD: "hood, exhaust hood",
    Ade.VASE: "vase",
    Ade.TRAFFIC_LIGHT: "traffic light, traffic signal, stoplight",
    Ade.ASHCAN: (
        "ashcan, trash can, garbage can, wastebin, ash bin, ash-bin, ashbin, dustbin, trash barrel, trash bin"
    ),
    Ade.PIER: "pier, wharf, wharfage, dock",
    Ade.CLOCK: "clock",
    Ade.FLAG: "flag",
}
