"""What cloud providers run for a fleet and what that costs, asked of any CloudProviderManager."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from drmviz.errors import SourceUnavailableError
from drmviz.model.cloud import CloudUsage
from drmviz.model.samples import Reading
from drmviz.model.text import storable
from drmviz.sources.cloud_answers import Answers

REFRESH_S = 30.0
_FIRST_ANSWER_S = 0.5


class CloudSource:
    """Asks each provider what it runs, what it could still give, and what that costs.

    A `cloud_provider_manager` has `providers` and, as far as it can, `get_available_resources`, `get_active_workers`
    and `get_cost_estimate`; one that is missing or fails costs only what needs it.
    """

    name = "cloud"

    def __init__(self, cloud_provider_manager: object, *, refresh_s: float = REFRESH_S) -> None:
        """`refresh_s` is how long answers serve: providers are asked over a network, and count who asks."""
        self._manager = cloud_provider_manager
        self._refresh_s = refresh_s
        self._asked_at_s: float | None = None
        self._told: dict[str, CloudUsage] = {}
        self._troubles: list[str] = []
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._has_answered = threading.Event()
        self._is_waited_for = True

    def labels_of(self, worker_id: str) -> Mapping[str, str]:
        """Return where a worker runs and what it costs, as roster entries state it; nothing where that is not known.

        The first call waits half a second for the providers, so that the first tick knows it too.
        """
        if self._is_waited_for:
            self._has_answered.wait(_FIRST_ANSWER_S)
            self._is_waited_for = False
        return self._labels.get(worker_id, {})

    def read(self, now_s: float) -> Reading:
        """Return the providers of which something changed; its workers are told of by the manager that uses them.

        Raises:
            SourceUnavailableError: there is no list of providers.
        """
        news: list[CloudUsage] = []
        if self._asked_at_s is None or not 0 <= now_s - self._asked_at_s < self._refresh_s:
            try:
                news = self._ask(now_s)
            finally:
                self._has_answered.set()
        reading = Reading.unknown((), taken_at_s=now_s, cloud=news)
        reading.rejected.extend(self._troubles)
        return reading

    def _ask(self, now_s: float) -> list[CloudUsage]:
        answers = [Answers.of(self._manager, provider) for provider in _providers(self._manager)]
        usages = {each.provider: each.usage(now_s) for each in answers}
        for provider in self._told.keys() - usages.keys():
            usages[provider] = CloudUsage(
                at_s=now_s, provider=provider, problem="it is not among the providers any more"
            )
        news = [usage for provider, usage in usages.items() if not usage.says_the_same_as(self._told.get(provider))]
        self._labels = {worker: labels for each in answers for worker, labels in each.labels().items()}
        self._troubles = [f"{each.provider}: {trouble}" for each in answers for trouble in each.troubles]
        self._told = usages
        self._asked_at_s = now_s
        return news


def _providers(manager: object) -> list[Any]:
    providers = getattr(manager, "providers", None)
    if callable(providers) and not isinstance(providers, Iterable):
        providers = providers()
    if isinstance(providers, str) or not isinstance(providers, Iterable):
        raise SourceUnavailableError(
            "cloud", f"{type(manager).__name__}.providers is no list of names", remedy='It must be like ["aws", "gcp"].'
        )
    by_name = {storable(str(provider)): provider for provider in list(providers)}
    return [provider for name, provider in by_name.items() if name]
