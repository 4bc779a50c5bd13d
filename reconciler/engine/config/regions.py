"""The regions of the platform, as Fly's documentation lists them."""

from typing import Any, Final, NamedTuple


class Region(NamedTuple):
    """A region; latitude and longitude are in degrees."""

    code: str
    name: str
    latitude: float
    longitude: float
    geo_region: str


REGIONS: Final = (
    Region("ams", "Amsterdam, Netherlands", 52.37, 4.9, "europe"),
    Region("arn", "Stockholm, Sweden", 59.65, 17.92, "europe"),
    Region("bom", "Mumbai, India", 19.09, 72.87, "asia_pacific"),
    Region("cdg", "Paris, France", 48.86, 2.35, "europe"),
    Region("dfw", "Dallas, Texas (US)", 32.78, -96.81, "north_america"),
    Region("ewr", "Secaucus, NJ (US)", 40.79, -74.06, "north_america"),
    Region("fra", "Frankfurt, Germany", 50.11, 8.68, "europe"),
    Region("gru", "Sao Paulo, Brazil", -23.55, -46.63, "south_america"),
    Region("iad", "Ashburn, Virginia (US)", 39.02, -77.54, "north_america"),
    Region("jnb", "Johannesburg, South Africa", -26.2, 28.04, "africa"),
    Region("lax", "Los Angeles, California (US)", 33.94, -118.41, "north_america"),
    Region("lhr", "London, United Kingdom", 51.52, -0.14, "europe"),
    Region("nrt", "Tokyo, Japan", 35.68, 139.77, "asia_pacific"),
    Region("ord", "Chicago, Illinois (US)", 41.89, -87.64, "north_america"),
    Region("sin", "Singapore, Singapore", 1.3, 103.86, "asia_pacific"),
    Region("sjc", "San Jose, California (US)", 37.35, -121.96, "north_america"),
    Region("syd", "Sydney, Australia", -33.87, 151.21, "asia_pacific"),
    Region("yyz", "Toronto, Canada", 43.65, -79.38, "north_america"),
)
HERE: Final = "iad"


def regions_json() -> dict[str, Any]:
    """Return the answer of the regions call.

    The live API writes two of its keys with capitals.
    """
    rows = [
        region._asdict() | {"gateway_available": True, "requires_paid_plan": False, "deprecated": False}
        for region in REGIONS
    ]
    return {"Nearest": HERE, "Regions": rows}
