"""What one cloud provider answered, whatever of it makes sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from drmviz.errors import InvalidValueError
from drmviz.manager.values import number_of
from drmviz.model.cloud import COST_BASES, CloudUsage, CostBasis
from drmviz.model.moments import seconds_of
from drmviz.model.text import storable

_MIB = 2**20
_LARGEST = 2**42
_LONGEST_TROUBLE = 200
_MISSING = object()


@dataclass(slots=True, kw_only=True)
class Answers:
    """Answers of one provider.

    `problems` say what is not known; `troubles` are those among them that nobody would expect.
    """

    provider: str
    available: Any
    active: list[Mapping[str, Any]] | None
    """One for each worker, empty where only that it runs is known; None where not even their number is."""
    cost: Any
    problems: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, manager: object, provider: Any) -> Answers:
        """Ask `manager` for everything it offers of a provider."""
        answers = cls(provider=storable(str(provider)), available=None, active=None, cost=None)
        answers.available = answers._asked(manager, "get_available_resources", provider)
        answers.active = answers._workers(answers._asked(manager, "get_active_workers", provider))
        answers.cost = answers._asked(manager, "get_cost_estimate", provider)
        return answers

    def usage(self, at_s: float) -> CloudUsage:
        """Return the same as it is recorded."""
        available = self.available if isinstance(self.available, Mapping) else {}
        memory_mb = self._amount(available, "memory_mb")
        gpus = self._amount(available, "gpus")
        per_hour, currency, basis, priced_at_s = self._price()
        types = Counter(_text(worker.get("instance_type")) for worker in self.active or ())
        return CloudUsage(
            at_s=at_s,
            provider=self.provider,
            workers=None if self.active is None else len(self.active),
            per_hour=per_hour,
            currency=currency,
            basis=basis,
            priced_at_s=priced_at_s,
            instance_types=tuple(sorted((name, number) for name, number in types.items() if name)),
            cpu_cores=self._amount(available, "cpu_cores"),
            memory_bytes=None if memory_mb is None else round(memory_mb * _MIB),
            gpus=None if gpus is None else round(gpus),
            problem="; ".join(self.problems),
        )

    def labels(self) -> dict[str, dict[str, str]]:
        """Return where each worker runs and what it costs, by its id, as the labels of a `RosterEntry`."""
        return {
            storable(str(worker["worker_id"])): self._labels_of(worker)
            for worker in self.active or ()
            if worker.get("worker_id") is not None
        }

    def _asked(self, manager: object, method: str, provider: Any) -> Any:
        ask = getattr(manager, method, None)
        if not callable(ask):
            self.problems.append(f"there is no {method}")
            return _MISSING
        try:
            return ask(provider)
        except Exception as error:  # noqa: BLE001  a boundary: what answers is not ours, and costs only what it tells
            self._trouble(f"{method} failed ({type(error).__name__}: {error})")
            return None

    def _trouble(self, sentence: str) -> None:
        self.problems.append(sentence[:_LONGEST_TROUBLE])
        self.troubles.append(sentence[:_LONGEST_TROUBLE])

    def _workers(self, answer: Any) -> list[Mapping[str, Any]] | None:
        if answer is None or answer is _MISSING:
            return None
        if isinstance(answer, Mapping):  # by worker id
            answer = [{"worker_id": key, **_mapping(worker)} for key, worker in answer.items()]
        if not isinstance(answer, list | tuple | set | frozenset):
            self._trouble(f"get_active_workers returned {type(answer).__name__}, not a list of workers")
            return None
        return [{"worker_id": worker} if isinstance(worker, str) else _mapping(worker) for worker in answer]

    def _amount(self, available: Mapping[str, Any], name: str) -> float | None:
        value = available.get(name)
        if value is None:
            return None
        amount = number_of(value)
        if amount is None or not 0 <= amount < _LARGEST:
            self._trouble(f"{name} = {value!r:.40} of get_available_resources makes no sense")
            return None
        return amount

    def _price(self) -> tuple[Decimal | None, str | None, CostBasis | None, float | None]:
        """Return what an hour costs, its currency, which kind of price it is, and from when."""
        if self.cost is _MISSING:
            return (*self._sum_of_prices(), None, None)
        if not isinstance(self.cost, Mapping):
            return (self._money(self.cost), None, None, None)
        basis = self.cost.get("basis")
        known = next((each for each in COST_BASES if each == basis), None)
        if basis is not None and known is None:
            self._trouble(f"basis {basis!r:.40} of get_cost_estimate is not one of {', '.join(COST_BASES)}")
        return (
            self._money(self.cost.get("per_hour")),
            _currency(self.cost.get("currency")),
            known,
            self._priced_at_s(),
        )

    def _money(self, value: Any) -> Decimal | None:
        """Return an amount above zero: a price of zero is one that nobody stated."""
        amount = _decimal(value)
        if amount is None and not any("get_cost_estimate" in problem for problem in self.problems):
            self.problems.append("no price above zero is stated")
        return amount

    def _priced_at_s(self) -> float | None:
        stated = self.cost.get("priced_at")
        if stated is None:
            return None
        try:
            return seconds_of(stated, "priced_at of get_cost_estimate")
        except InvalidValueError as error:
            self._trouble(str(error))
            return None

    def _sum_of_prices(self) -> tuple[Decimal | None, str | None]:
        prices = [_decimal(worker.get("price_per_hour")) for worker in self.active or ()]
        currencies = {_currency(worker.get("currency")) for worker in self.active or ()}
        known = [price for price in prices if price is not None]
        if not known or len(known) < len(prices) or len(currencies) > 1:
            return None, None
        self.problems.remove("there is no get_cost_estimate")
        return sum(known, Decimal()), currencies.pop()

    def _labels_of(self, worker: Mapping[str, Any]) -> dict[str, str]:
        spot, price = worker.get("spot"), _decimal(worker.get("price_per_hour"))
        stated = {
            "provider": self.provider,
            "region": _text(worker.get("region")),
            "zone": _text(worker.get("zone")),
            "instance_type": _text(worker.get("instance_type")),
            "spot": ("yes" if spot else "no") if isinstance(spot, bool) else None,
            "price_per_hour": None if price is None else str(price),
            "currency": _currency(worker.get("currency")),
        }
        return {name: value for name, value in stated.items() if value}


def _mapping(stated: Any) -> Mapping[str, Any]:
    return stated if isinstance(stated, Mapping) else {}


def _text(stated: Any) -> str | None:
    return storable(stated) if isinstance(stated, str) and stated else None


def _currency(stated: Any) -> str | None:
    text = _text(stated)
    return None if text is None else text.strip().upper() or None


def _decimal(value: Any) -> Decimal | None:
    """Return a finite amount above zero as it is written; None for everything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount > 0 else None
