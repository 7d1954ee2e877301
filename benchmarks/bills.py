"""Importing a bill of a million charges, beside DuckDB that scans the file for the same sums and keeps nothing."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.rows import Row

_ROUNDS = 2
_ROWS_PER_COUNT = 1000
_SERVICES = (
    ("Amazon Elastic Compute Cloud", "Compute", "$0.4032 per On Demand Linux m7i.2xlarge Instance Hour"),
    ("Amazon Elastic Block Store", "Storage", "$0.0952 per GB-month of General Purpose SSD (gp3) provisioned storage"),
    ("Amazon Virtual Private Cloud", "Networking", "$0.010 per GB - regional data transfer - in/out/between EC2 AZs"),
)
_HEADER = (
    "AvailabilityZone,BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,"
    "BillingPeriodStart,ChargeCategory,ChargeClass,ChargeDescription,ChargeFrequency,ChargePeriodEnd,"
    "ChargePeriodStart,CommitmentDiscountCategory,CommitmentDiscountId,CommitmentDiscountName,"
    "CommitmentDiscountStatus,CommitmentDiscountType,ConsumedQuantity,ConsumedUnit,ContractedCost,"
    "ContractedUnitPrice,EffectiveCost,InvoiceIssuerName,ListCost,ListUnitPrice,PricingCategory,PricingQuantity,"
    "PricingUnit,ProviderName,PublisherName,RegionId,RegionName,ResourceId,ResourceName,ResourceType,"
    "ServiceCategory,ServiceName,SkuId,SkuPriceId,SubAccountId,SubAccountName,Tags\r\n"
)
_OURS = """
import json, resource, sys
from pathlib import Path
from drmviz.cloud import import_bills

def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

def peak_mb():
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be inherited over exec
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

begun = cpu_s()
report = import_bills(Path(sys.argv[2]), [Path(sys.argv[1])], now_s=0.0)
taken = cpu_s() - begun
sums = sorted([t.provider, t.currency, *(str(a.normalize()) for a in t.amounts)] for t in report.totals)
print(json.dumps([taken, peak_mb(), sums]))
"""
_BASELINE = """
import json, resource, sys
from pathlib import Path
import duckdb

def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

def peak_mb():
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be inherited over exec
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

begun = cpu_s()
costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
sums = ", ".join(f"sum(nullif({cost}, 'NULL')::DECIMAL(38, 12))" for cost in costs)
asked = f"SELECT ProviderName, BillingCurrency, {sums} FROM read_csv(?, all_varchar = true) GROUP BY 1, 2"
database = duckdb.connect()
database.execute("SET enable_progress_bar = false")
found = database.execute(asked, [sys.argv[1]]).fetchall()
taken = cpu_s() - begun
sums = sorted([*row[:2], *(str(a.normalize()) for a in row[2:])] for row in found)
print(json.dumps([taken, peak_mb(), sums]))
"""


def bill_import(workers: int, count: int) -> Row:
    """CPU seconds for a bill of a thousand charges for each tick asked for, kept with its resources and periods."""
    del workers
    ours, baseline = _measured(count * _ROWS_PER_COUNT)
    return Row(
        name="bill_import",
        ours=ours[0],
        baseline=baseline[0],
        unit="CPU s",
        target=10.0,
        baseline_is="DuckDB scans the same CSV for the sums by provider and currency, and keeps nothing",
    )


def bill_memory(workers: int, count: int) -> Row:
    """Peak memory of the same import, in a process of its own."""
    del workers
    ours, baseline = _measured(count * _ROWS_PER_COUNT)
    return Row(
        name="bill_memory",
        ours=ours[1],
        baseline=baseline[1],
        unit="MB at the peak",
        target=1.0,
        limit=300.0,
        baseline_is="the DuckDB process at its peak",
    )


def _measured(rows: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return CPU seconds and peak MB of ours and of the baseline, medians of runs in turn; refuse unequal sums."""
    taken: dict[str, list[tuple[float, float]]] = {_OURS: [], _BASELINE: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bill.csv")
        write_bill(path, rows)
        for _ in range(_ROUNDS):
            sums = []
            for program, measured in taken.items():
                kept = Path(folder, "charges.sqlite3")
                kept.unlink(missing_ok=True)
                done = subprocess.run(
                    [sys.executable, "-c", program, str(path), str(kept)], check=True, capture_output=True, text=True
                )
                cpu_s, peak, found = json.loads(done.stdout)
                measured.append((cpu_s, peak))
                sums.append(found)
            if sums[0] != sums[1]:
                raise AssertionError(f"the sums differ: {sums}")
    ours, baseline = ([statistics.median(side) for side in zip(*each, strict=True)] for each in taken.values())
    return (ours[0], ours[1]), (baseline[0], baseline[1])


def write_bill(path: Path, rows: int) -> None:
    """Write a bill of a month as FOCUS 1.0, all its columns: every charge its own resource, hour and amounts."""
    chosen = random.Random(1)
    hours = [datetime(2026, 9, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(30 * 24 + 1)]
    moments = [moment.strftime("%Y-%m-%d %H:%M:%S") for moment in hours]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(_HEADER)
        for number in range(rows):
            hour = number % (len(moments) - 1)
            service, category, description = _SERVICES[number % len(_SERVICES)]
            listed, quantity = chosen.randrange(10**7), chosen.randrange(10**6)
            account = 10_000_000_000 + number % 40
            contracted = "NULL" if number % 200 == 0 else f"0.{listed * 9 // 10:010d}0"
            file.write(
                f"us-west-2a,0.{listed * 8 // 10:010d}0,1234567890123,Some Company,USD,2026-10-01 00:00:00,"
                f"2026-09-01 00:00:00,Usage,NULL,{description},Usage-Based,{moments[hour + 1]},{moments[hour]},"
                f"NULL,NULL,NULL,NULL,NULL,{quantity / 1e6:.15f},Hours,{contracted},0.40320000000,"
                f'0.{listed * 8 // 10:010d}0,"Amazon Web Services, Inc.",0.{listed:010d}0,0.4032,Standard,'
                f'{quantity / 1e6:.11f},Hours,AWS,"Amazon Web Services, Inc.",us-west-2,US West (Oregon),'
                f"arn:aws:ec2:us-west-2:{account}:instance/i-{chosen.randrange(1 << 64):017x},NULL,instance,"
                f"{category},{service},G95FST5FTYV3JSRX,G95FST5FTYV3JSRX.JRTCKXETXF.VXGXCWQKTY,{account},"
                f'Team {account % 40},"{{""application"": ""Search"", ""environment"": ""dev"", '
                f'""business_unit"": ""Number {number % 97}""}}"\r\n'
            )
