"""What the API answers, field by field, as JSON Schema (2020-12); null stands for "not known"."""

from __future__ import annotations

from typing import Any, get_args

from drmviz.model.decisions import Action
from drmviz.model.metrics import DRAWN_STATISTICS, METRICS
from drmviz.model.run import RecordingState
from drmviz.model.workers import Kind

Schema = dict[str, Any]


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _by_name(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def _object(optional: dict[str, Schema] | None = None, /, **fields: Schema) -> Schema:
    return {"type": "object", "required": list(fields), "properties": {**fields, **(optional or {})}}


def _one_of(*choices: str) -> Schema:
    return {"type": "string", "enum": list(choices)}


def _texts(*names: str) -> Schema:
    return _object(**dict.fromkeys(names, _TEXT))


_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ANYTHING: Schema = {"type": "object"}
_FLAG: Schema = {"type": "boolean"}
_TEXT_OR, _NUMBER_OR, _COUNT_OR, _FLAG_OR = (_or_null(each) for each in (_TEXT, _NUMBER, _COUNT, _FLAG))
_INTEGER_OR = _or_null({"type": "integer"})
_METRIC = _one_of(*METRICS)
_NOTES = _list(_TEXT)
_STATUS = _object(state=_one_of("OK", "DEGRADED", "FAILED"), reason=_TEXT_OR, since_s=_NUMBER_OR)
_RUN = _object(
    id=_TEXT, title=_TEXT, host=_TEXT, started_at_s=_NUMBER, ended_at_s=_NUMBER_OR, interval_s=_NUMBER,
)  # fmt: skip
_WORKER = _object(
    id=_TEXT, kind=_one_of(*get_args(Kind)), host=_TEXT_OR, pid=_INTEGER_OR, incarnation=_COUNT, joined_at_s=_NUMBER,
    left_at_s=_NUMBER_OR, why_left=_TEXT_OR,
    capacity=_object(cpu_cores=_NUMBER_OR, memory_bytes=_COUNT_OR, gpus=_NUMBER_OR, gpu_memory_bytes=_COUNT_OR),
)  # fmt: skip
_RECORDED_RUN = _object(
    id=_TEXT, title=_TEXT, labels=_by_name(_TEXT), started_at=_TEXT_OR, ended_at=_TEXT_OR, interval_s=_NUMBER,
    source=_TEXT, host=_TEXT, exit_code={}, store=_TEXT_OR, offset_s=_NUMBER, tests=_by_name(_COUNT),
    tiers=_list(_object(tier=_TEXT, bucket_s=_NUMBER, first_at=_TEXT_OR, end_at=_TEXT_OR, bytes=_COUNT)),
    notes=_NOTES, workers=_list(_WORKER),
)  # fmt: skip
_RECORDINGS = {
    "recordings": _list(
        _object(
            name=_TEXT_OR, host=_TEXT_OR, store=_TEXT, runs=_list(_TEXT), offset_s=_NUMBER, first_at_s=_NUMBER_OR,
            end_at_s=_NUMBER_OR, state=_one_of(*get_args(RecordingState)), exit_code={},
        )
    ),
    "notes": _NOTES,
}  # fmt: skip
"""Present where several recordings were read as one."""
_DECISION = _object(
    {"host": _TEXT},
    at_s=_NUMBER, action=_one_of(*get_args(Action)), count=_COUNT_OR, reason=_TEXT, metric=_TEXT_OR, value=_NUMBER_OR,
    threshold=_NUMBER_OR, window_s=_NUMBER_OR, cooldown_remaining_s=_NUMBER_OR, worker_ids=_list(_TEXT),
    worker_type=_TEXT_OR, utilization=_NUMBER_OR,
)  # fmt: skip
_TEST = _object(
    nodeid=_TEXT, outcome=_TEXT, worker=_TEXT, pid=_INTEGER_OR, start_s=_NUMBER, end_s=_NUMBER, duration_s=_NUMBER,
    cpu_s=_NUMBER_OR, memory_bytes=_INTEGER_OR, peak_bytes=_INTEGER_OR, attempts=_COUNT,
)  # fmt: skip
_DECIMAL: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_AMOUNTS = _list(_object(currency=_TEXT, basis=_TEXT_OR, amount=_DECIMAL))
_PROVIDER = _object(
    provider=_TEXT, workers=_COUNT_OR, instance_types=_by_name(_COUNT), per_hour=_AMOUNTS, spent=_AMOUNTS,
    unpriced_s=_NUMBER, uncounted_s=_NUMBER, problem=_TEXT_OR, basis_of_count=_one_of("labels", "provider"),
)  # fmt: skip
_UNIT = _one_of("cores", "bytes", "devices")


def _of_resources(each: Schema) -> Schema:
    return _object(start_s=_NUMBER, end_s=_NUMBER, resources=_by_name(each))


ANSWERS: dict[str, Schema] = {
    "snapshot": _object(
        run=_RUN, notes=_NOTES, at_s=_NUMBER_OR, sequence=_COUNT_OR, is_being_written=_FLAG, status=_STATUS,
        workers=_list(_object(id=_TEXT, kind=_one_of(*get_args(Kind)), host=_TEXT_OR,
                              **dict.fromkeys(METRICS, _NUMBER_OR))),
        fleet=_object(**{metric: _NUMBER_OR for metric in METRICS if metric != "tasks_running"}),
    ),
    "workers": _object(run=_RUN, notes=_NOTES, workers=_list(_WORKER)),
    "runs": _object(runs=_list(_RECORDED_RUN)),
    "heatmap": _object(
        metric=_METRIC, statistic=_one_of(*DRAWN_STATISTICS), workers=_list(_TEXT), starts_at_s=_list(_NUMBER),
        width_s=_NUMBER, values=_list(_list(_NUMBER_OR)),
    ),
    "series": _object(
        worker=_TEXT, metric=_METRIC, starts_at_s=_list(_NUMBER), width_s=_NUMBER, mean=_list(_NUMBER_OR),
        min=_list(_NUMBER_OR), max=_list(_NUMBER_OR),
    ),
    "scaling": _object(
        _RECORDINGS,
        decisions=_list(_DECISION),
        changes=_list(_object(at_s=_NUMBER, worker=_TEXT, change=_one_of("joined", "left"), why=_TEXT_OR)),
        policy=_by_name(_NUMBER),
    ),
    "tasks": _object(_RECORDINGS, tests=_list(_TEST)),
    "allocation": _of_resources(_object(
        unit=_UNIT,
        workers=_list(_object(id=_TEXT, capacity=_NUMBER_OR, reserved=_NUMBER_OR, used=_NUMBER_OR, idle=_NUMBER_OR,
                              free=_NUMBER_OR)),
        total=_object(
            workers=_COUNT, capacity=_NUMBER_OR, reserved=_NUMBER_OR, used=_NUMBER_OR, idle=_NUMBER_OR,
            free=_NUMBER_OR, efficiency_ratio=_NUMBER_OR, capacity_unknown=_COUNT, reserved_unknown=_COUNT,
            used_unknown=_COUNT, averaged=_FLAG,
        ),
    )),
    "efficiency": _of_resources(_object(
        unit=_UNIT,
        workers=_list(_object(id=_TEXT, reserved_ratio=_NUMBER_OR, used_ratio=_NUMBER_OR, efficiency_ratio=_NUMBER_OR,
                              wasteful=_FLAG_OR)),
        efficiency_ratio=_NUMBER_OR, idle=_NUMBER_OR, unknown=_by_name(_COUNT),
    )),
    "cloud": _object(
        start_s=_NUMBER, end_s=_NUMBER, providers=_list(_PROVIDER), per_hour=_AMOUNTS, spent=_AMOUNTS,
    ),
    "overview": _object(
        sequence=_INTEGER_OR, run=_TEXT, nothing=_TEXT, lasted=_TEXT, ended=_TEXT, ended_at_s=_NUMBER_OR,
        cards=_list(_texts("label", "value", "unit", "lead", "tone", "detail", "line", "area", "level")),
        entries=_list(_object(at_s=_NUMBER, at=_TEXT, since_s=_NUMBER, times=_COUNT, **_texts(
            "badge", "tone", "heading", "sentence", "then", "when")["properties"])),
        older=_COUNT, decided=_TEXT, seen=_TEXT, tests=_COUNT, notes=_NOTES,
        next=_or_null(_object(name=_TEXT, value=_TEXT_OR, up=_NUMBER_OR, down=_NUMBER_OR, cooldown=_TEXT, said=_TEXT,
                              filled=_TEXT_OR, ticks=_list(_TEXT))),
        events=_list(_object(at_s=_NUMBER, kind=_TEXT, text=_TEXT)),
    ),
    "figure": _object(name=_TEXT, said=_TEXT, variants=_list(_object(
        name=_TEXT, id=_TEXT, description=_TEXT, why=_TEXT, height=_COUNT, spec=_or_null(_ANYTHING),
        themes={"type": "array"}, numbers=_object(columns=_list(_TEXT), rows=_list(_list(_TEXT)), more=_TEXT),
    ))),
    "figures": _object(figures=_list(_object(name=_TEXT, type=_TEXT, title=_TEXT))),
    "status": _object(status=_STATUS, parts=_by_name(_STATUS), drmviz=_TEXT),
    "openapi.json": _object(
        openapi=_TEXT, info=_ANYTHING, servers=_list(_ANYTHING), paths=_ANYTHING, components=_ANYTHING,
    ),
    "healthz": _object(healthy=_FLAG),
}  # fmt: skip
"""By the last part of the path."""
