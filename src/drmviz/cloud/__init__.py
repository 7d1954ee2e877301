"""Bills of cloud providers: FOCUS files in, and the file that their charges are kept in."""

from __future__ import annotations

from drmviz.cloud.charge_file import ChargeFile
from drmviz.cloud.importing import import_bills
from drmviz.cloud.reporting import ImportReport

__all__ = ["ChargeFile", "ImportReport", "import_bills"]
