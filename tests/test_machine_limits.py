"""Limits of control groups, from files as kernels wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drmviz.machine.host import read_host
from drmviz.machine.limits import Limits, find_group, read_limits

GIB = 1 << 30
CORES = frozenset(range(8))


class Kernel:
    """A folder with the files of /proc and /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.mounts = folder / "sys" / "fs" / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self._mounted: list[str] = []

    def member(self, text: str) -> None:
        (self.proc / "self" / "cgroup").write_text(text)

    def mount(self, kind: str, at: str = "", options: str = "rw", root: str = "/") -> None:
        folder = self.mounts / at
        folder.mkdir(parents=True, exist_ok=True)
        self._mounted.append(f"30 23 0:26 {root} {folder} rw,nosuid shared:4 - {kind} {kind} {options}\n")
        (self.proc / "self" / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/root rw\n" + "".join(self._mounted))

    def file(self, name: str, text: str) -> None:
        path = self.mounts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def limits(self) -> Limits:
        return read_limits(proc=self.proc, cores=CORES, machine_memory_bytes=64 * GIB)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_version_2_limits_bind_from_any_level_and_use_is_read_where_they_bind(kernel: Kernel) -> None:
    kernel.member("0::/kubepods/pod1/box\n")
    kernel.mount("cgroup2")
    kernel.file("kubepods/pod1/box/cpu.max", "max 100000\n")
    kernel.file("kubepods/pod1/box/memory.max", f"{4 * GIB}\n")
    kernel.file("kubepods/pod1/cpu.max", "250000 100000\n")
    kernel.file("kubepods/pod1/cpu.stat", "usage_usec 3500000\nuser_usec 3000000\n")
    kernel.file("kubepods/pod1/memory.max", f"{8 * GIB}\n")
    kernel.file("kubepods/pod1/box/memory.current", f"{GIB}\n")
    kernel.file("kubepods/pod1/box/memory.stat", f"anon 5\ninactive_file {GIB // 4}\n")

    limits = kernel.limits()

    assert (limits.cpu_millicores, limits.memory_bytes) == (2500, 4 * GIB)
    use = read_host(limits)
    assert (use.cpu_s, use.memory_bytes) == (3.5, GIB - GIB // 4)


def test_a_container_sees_its_limits_at_the_top_of_the_mount(kernel: Kernel) -> None:
    kernel.member("0::/\n")
    kernel.mount("cgroup2")
    kernel.file("cpu.max", "50000 100000\n")
    kernel.file("memory.max", "max\n")

    limits = kernel.limits()

    assert (limits.cpu_millicores, limits.memory_bytes) == (500, 64 * GIB)
    assert limits.memory_group is None


def test_version_1_names_its_controllers_and_writes_a_huge_number_for_none(kernel: Kernel) -> None:
    kernel.member("11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n")
    kernel.mount("cgroup", "memory", "rw,memory", root="/docker/abc")
    kernel.mount("cgroup", "cpu,cpuacct", "rw,cpu,cpuacct", root="/docker/abc")
    kernel.file("memory/memory.limit_in_bytes", "9223372036854771712\n")
    kernel.file("cpu,cpuacct/cpu.cfs_quota_us", "150000\n")
    kernel.file("cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    kernel.file("cpu,cpuacct/cpuacct.usage", "2000000000\n")

    limits = kernel.limits()

    assert (limits.cpu_millicores, limits.memory_bytes) == (1500, 64 * GIB)
    assert read_host(limits).cpu_s == 2.0


def test_version_1_without_a_quota_leaves_the_machine(kernel: Kernel) -> None:
    kernel.member("4:memory:/a\n2:cpu:/a\n")
    kernel.mount("cgroup", "cpu", "rw,cpu")
    kernel.mount("cgroup", "memory", "rw,memory")
    kernel.file("cpu/a/cpu.cfs_quota_us", "-1\n")
    kernel.file("cpu/a/cpu.cfs_period_us", "100000\n")
    kernel.file("memory/a/memory.limit_in_bytes", f"{2 * GIB}\n")
    kernel.file("memory/a/memory.usage_in_bytes", f"{GIB}\n")
    kernel.file("memory/a/memory.stat", f"total_inactive_file {GIB // 2}\n")

    limits = kernel.limits()

    assert (limits.cpu_millicores, limits.memory_bytes) == (8000, 2 * GIB)
    assert limits.cpu_group is None
    assert read_host(limits).memory_bytes == GIB // 2


@pytest.mark.parametrize("text", ["", "garbage", "100000", "a b", "100000 0", "-5 100000"])
def test_a_limit_that_makes_no_sense_is_none(kernel: Kernel, text: str) -> None:
    kernel.member("0::/\n")
    kernel.mount("cgroup2")
    kernel.file("cpu.max", text)
    kernel.file("memory.max", text)

    limits = kernel.limits()

    assert (limits.cpu_millicores, limits.cpu_group) == (8000, None)


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    limits = read_limits(proc=tmp_path, cores=frozenset({3}), machine_memory_bytes=GIB)

    assert find_group("cpu", proc=tmp_path) is None
    assert (limits.cpu_millicores, limits.memory_bytes) == (1000, GIB)


def test_the_real_machine_has_cores_memory_and_use() -> None:
    limits = read_limits()
    use = read_host(limits)

    assert limits.cpu_millicores is not None
    assert limits.cpu_millicores >= 1
    assert limits.memory_bytes is not None
    assert use.memory_bytes is not None
    assert 0 < use.memory_bytes < limits.memory_bytes
    assert use.cpu_s is None or use.cpu_s > 0
