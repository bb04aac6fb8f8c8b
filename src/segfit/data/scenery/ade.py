"""The ADE20K classes that the scenes show, by their true ids."""

from enum import IntEnum

__all__ = ["Ade"]


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
