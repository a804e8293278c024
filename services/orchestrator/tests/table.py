"""Each step of the saga, and what has to be undone when it does not come to its end."""

from .conftest import World

PATH = ["reserve", "authorise", "plan", "book_1", "book_2", "commit", "capture"]
EFFECTS = [step for step in PATH if step != "plan"]
UNDONE = {
    "reserve": ["release"],
    "authorise": ["reverse", "release"],
    "plan": ["reverse", "release"],
    "book_1": ["cancel_shipment", "reverse", "release"],
    "book_2": ["cancel_shipment", "reverse", "release"],
    "commit": ["cancel_shipment", "reverse", "release"],
    "capture": ["cancel_shipment", "reverse", "release"],
}
UNDOS = {"release", "reverse", "cancel_shipment"}


def undos(world: World, order_id: str) -> list[str]:
    """The undos that began, in order."""
    return [name for name in world.begun(order_id) if name in UNDOS]


def no_undo_overtook_a_step(world: World, order_id: str) -> bool:
    log = world.log[order_id]
    first = next(index for index, line in enumerate(log) if line.split()[0] in UNDOS)
    open_steps = {line.split()[0] for line in log[:first] if line.endswith("begin")}
    open_steps -= {line.split()[0] for line in log[:first] if not line.endswith("begin")}
    return not open_steps
