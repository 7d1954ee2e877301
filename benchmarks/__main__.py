"""`python -m benchmarks [NAME ...] [--json] [--workers N] [--ticks N]`: every hot path beside its baseline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from benchmarks import (
    asking,
    bills,
    churn,
    drawing,
    fanout,
    live_page,
    looking_back,
    overhead,
    placing,
    recording,
    sets,
)  # fmt: skip
from benchmarks.rows import Row

ROWS: dict[str, Callable[[int, int], Row]] = {
    "durable_tick": recording.durable_tick,
    "closed_file": recording.closed_file,
    "checked_pages": recording.checked_pages,
    "recording_memory": recording.recording_memory,
    "steady_memory": recording.steady_memory,
    "sealing_delay": recording.sealing_delay,
    "sealing_step": recording.sealing_step,
    "heatmap_html": drawing.heatmap_html,
    "heatmap_html_size": drawing.heatmap_html_size,
    "heatmap_png": drawing.heatmap_png,
    "all_html": sets.all_html,
    "all_png": sets.all_png,
    "ten_times_html": sets.ten_times_html,
    "ten_times_png": sets.ten_times_png,
    "day_heatmap": looking_back.day_heatmap,
    "last_hour_heatmap": looking_back.last_hour_heatmap,
    "last_hour_averaged": looking_back.last_hour_averaged,
    "last_hour_of_ticks": looking_back.last_hour_of_ticks,
    "day_curve": looking_back.day_curve,
    "day_curve_as_written": looking_back.day_curve_as_written,
    "first_day_curve": looking_back.first_day_curve,
    "day_size": looking_back.day_size,
    "month_heatmap": looking_back.month_heatmap,
    "churn_sealing": churn.churn_sealing,
    "churn_heatmap": churn.churn_heatmap,
    "churn_against_calm": churn.churn_against_calm,
    "churn_size": churn.churn_size,
    "hours_size": looking_back.hours_size,
    "reserve_release": placing.reserve_release,
    "dask_poll": asking.dask_poll,
    "bill_import": bills.bill_import,
    "bill_memory": bills.bill_memory,
    "recorder_overhead": overhead.recorder_overhead,
    "fanout_cpu": fanout.fanout_cpu,
    "fanout_churn": fanout.fanout_churn,
    "fanout_stalled": fanout.fanout_stalled,
    "fanout_memory": fanout.fanout_memory,
    "viewer_memory": fanout.viewer_memory,
    "live_update": live_page.live_update,
    "live_update_5000": live_page.live_update_5000,
    "live_react": live_page.live_react,
    "live_blocked": live_page.live_blocked,
    "live_sample_to_pixel": live_page.live_sample_to_pixel,
    "first_fleet": live_page.first_fleet,
    "first_charts": live_page.first_charts,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(ROWS)}; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--ticks", type=int, default=1000)
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in ROWS]
    if unknown:
        parser.error(f"{unknown[0]!r} is not a benchmark; there are {', '.join(ROWS)}")
    rows = []
    for name in asked.names or ROWS:
        row = ROWS[name](asked.workers, asked.ticks)
        rows.append(row)
        if not asked.json:
            limit = "" if row.limit is None else f", at most {row.limit:g}"
            print(
                f"{row.name:<20} {row.ours:10.3f} {row.unit:<22} baseline {row.baseline:10.3f}  ratio {row.ratio:6.3f}"
                f"  target {row.target:.3g}{limit}  {'holds' if row.holds else 'MISSED'}   ({row.baseline_is})",
                flush=True,
            )
    if asked.json:
        json.dump({"rows": [row.as_json() for row in rows]}, sys.stdout, indent=2)
        print()
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
