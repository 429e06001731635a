"""The client of Stellwerk's HTTP API: typed, for programs that wait (`Client`) and for loops (`AsyncClient`).

    from gateway.client import Client, Step

    with Client("http://127.0.0.1:8080", key) as gateway:
        gateway.loads.announce("TOTE-1", "RACK-1")
        gateway.orders.create("4711", [Step("ship", "sort", "TOTE-1", "BERLIN")], key="wms-4711")
        for order in gateway.orders.browse(state=["started"]):
            print(order.order, order.version)

Every write carries an idempotency key, so it is sent again after a cut and yet done once. Failures are `Refused`,
`NotReached` and `Unexpected`. It knows the API alone, nothing of the gateway behind it.
"""

from gateway.client.ask import Done
from gateway.client.client import AsyncClient, Client
from gateway.client.errors import ClientError, FieldError, NotReached, Problem, Refused, Unexpected
from gateway.client.orders import NewOrder, Step
from gateway.client.picture import Picture
from gateway.client.place import Retries
from gateway.client.sort_plans import Destination

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Destination",
    "Done",
    "FieldError",
    "NewOrder",
    "NotReached",
    "Picture",
    "Problem",
    "Refused",
    "Retries",
    "Step",
    "Unexpected",
]
