"""What a model call costs: list prices of the large providers, and the user's own before them. Pure.

`PriceList.cost` prices one call, `PriceTable.costs` the columns of many. A model without a known price has no cost: nothing is guessed.
"""

from otel_ext.prices.builtin import builtin
from otel_ext.prices.models import Model, PriceList, Rates, Tier, Tokens
from otel_ext.prices.own import own
from otel_ext.prices.table import PriceTable

__all__ = ["Model", "PriceList", "PriceTable", "Rates", "Tier", "Tokens", "builtin", "own"]
