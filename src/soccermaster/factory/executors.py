"""How clips are spread: over the processes of this machine, or over a Ray cluster.

An executor never stops for a failed clip: it tries it again, then hands the failure over with the
results. A worker that dies counts as a failure of the clips that were running.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console

from soccermaster.factory.models import ModelUnavailableError
from soccermaster.factory.work import ClipJob, ClipResult, prepare, work_on

_device = "cpu"


class Executor(Protocol):
    """Works on clips, in any order and any number at a time."""

    def check(self, configs: Sequence[Mapping[str, Any]]) -> None:
        """Load the models of stages where they will run, to know at once if one is missing.

        Args:
            configs: of the stages.

        Raises:
            ModelUnavailableError: a model that is needed is not there.
        """
        ...

    def run(self, jobs: Sequence[ClipJob], first_pending: int) -> Iterator[ClipResult]:
        """The result of each job, as it comes.

        Args:
            jobs: of one chain.
            first_pending: the first stage that any of them needs; its models and those of the
                following ones are loaded before any clip is begun.

        Raises:
            ModelUnavailableError: a model that is needed is not there.
        """
        ...


class LocalExecutor:
    """Processes of this machine; one per GPU where there are any.

    Args:
        workers: number of processes; None: one per GPU, or half of the cores. With 1 the work is
            done in this process.
        attempts: how often a clip is tried.
        device: "auto", "cpu", "cuda", "cuda:1"; "cuda" takes the GPUs in turns.
    """

    def __init__(self, workers: int | None = None, attempts: int = 2, device: str = "auto") -> None:
        if attempts < 1:
            raise ValueError(f"expected at least one attempt, got {attempts}")
        self.attempts = attempts
        self.devices = _devices(device)
        on_gpu = self.devices[0] != "cpu"
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.workers = workers or (len(self.devices) if on_gpu else max(1, (cores or 1) // 2))

    def check(self, configs: Sequence[Mapping[str, Any]]) -> None:
        """See `Executor.check`."""
        if self.workers == 1:
            prepare(configs, 0, self.devices[0])
            return
        with self._pool(1) as pool:
            _until_loaded(pool.submit(_prepare_here, configs, 0))

    def run(self, jobs: Sequence[ClipJob], first_pending: int) -> Iterator[ClipResult]:
        """See `Executor.run`."""
        if not jobs:
            return
        workers = min(self.workers, len(jobs))
        if workers == 1:
            yield from self._run_here(jobs, first_pending)
        else:
            yield from self._run_pool(jobs, first_pending, workers)

    def _run_here(self, jobs: Sequence[ClipJob], first_pending: int) -> Iterator[ClipResult]:
        prepare(jobs[0].stages, first_pending, self.devices[0])
        for job in jobs:
            for _ in range(self.attempts):
                result = work_on(job, self.devices[0])
                if result.status == "done":
                    break
            yield result

    def _run_pool(
        self, jobs: Sequence[ClipJob], first_pending: int, workers: int
    ) -> Iterator[ClipResult]:
        waiting = deque((job, 1) for job in jobs)
        check = True
        while waiting:
            suspects: list[tuple[ClipJob, int]] = []
            with self._pool(workers) as pool:
                if check:
                    _until_loaded(pool.submit(_prepare_here, jobs[0].stages, first_pending))
                    check = False
                yield from self._work_off(pool, workers, waiting, suspects)
            for job, attempt in suspects:
                yield self._alone(job, attempt)

    def _work_off(
        self,
        pool: ProcessPoolExecutor,
        workers: int,
        waiting: deque[tuple[ClipJob, int]],
        suspects: list[tuple[ClipJob, int]],
    ) -> Iterator[ClipResult]:
        """Results until nothing waits, or until a worker died while the suspects were running."""
        running: dict[Future, tuple[ClipJob, int]] = {}
        while (waiting or running) and not suspects:
            while waiting and len(running) < workers:
                job, attempt = waiting[0]
                try:
                    running[pool.submit(_work_here, job)] = job, attempt
                except BrokenProcessPool:
                    break  # the results of those that were running say so too
                waiting.popleft()
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                job, attempt = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    suspects.append((job, attempt))
                    continue
                if result.status == "done" or attempt >= self.attempts:
                    yield result
                else:
                    waiting.append((job, attempt + 1))
        suspects.extend(running.values())

    def _alone(self, job: ClipJob, attempt: int) -> ClipResult:
        """The result of a job in processes of its own: if one dies, the job is to blame."""
        result = _failure(job, RuntimeError("the process that worked on it died"))
        for _ in range(max(1, self.attempts - attempt)):
            try:
                with self._pool(1) as pool:
                    result = pool.submit(_work_here, job).result()
            except BrokenProcessPool as error:
                result = _failure(job, error)
            if result.status == "done":
                break
        return result

    def _pool(self, workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        devices = context.SimpleQueue()
        for index in range(workers):
            devices.put(self.devices[index % len(self.devices)])
        return ProcessPoolExecutor(workers, context, _begin_worker, (devices, os.getpid()))


class RayExecutor:
    """A Ray cluster, or a local one that is started for the run (extra `ray`).

    Args:
        address: of the cluster; "auto" for the one that this machine belongs to; None starts one.
        attempts: how often a clip is tried.
        gpus: GPUs per clip; may be a fraction. None: one where the cluster has any.
        cpus: cores per clip.
        storage_is_shared: the folders of input and output are the same on every machine. They have
            to be; say so when `address` is given.
    """

    def __init__(
        self,
        address: str | None = None,
        attempts: int = 2,
        gpus: float | None = None,
        cpus: float = 1,
        storage_is_shared: bool = False,
    ) -> None:
        if address is not None and not storage_is_shared:
            raise ValueError(
                "expected executor.storage_is_shared=true with executor.address: every machine of "
                "the cluster reads the input and writes the output by the same paths."
            )
        self.address, self.attempts = address, attempts
        self.gpus, self.cpus = gpus, cpus
        self.ray = _import_ray()
        self._told = False

    def check(self, configs: Sequence[Mapping[str, Any]]) -> None:
        """See `Executor.check`."""
        with self._cluster() as gpus:
            self._prepare(configs, 0, gpus)

    def run(self, jobs: Sequence[ClipJob], first_pending: int) -> Iterator[ClipResult]:
        """See `Executor.run`."""
        if not jobs:
            return
        with self._cluster() as gpus:
            self._prepare(jobs[0].stages, first_pending, gpus)
            yield from self._run(jobs, gpus)

    @contextmanager
    def _cluster(self) -> Iterator[float]:
        """Joins or starts it; gives the GPUs per clip."""
        started = not self.ray.is_initialized()
        if started:
            self.ray.init(self.address, include_dashboard=False, log_to_driver=False)
        try:
            there = self.ray.cluster_resources()
            gpus = min(1.0, there.get("GPU", 0.0)) if self.gpus is None else self.gpus
            if not self._told:
                self._told = True
                Console(soft_wrap=True, highlight=False).print(
                    f"Ray: {self.cpus:g} cores and {gpus:g} GPUs per clip, of "
                    f"{there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} GPUs"
                )
            yield gpus
        finally:
            if started:
                self.ray.shutdown()

    def _prepare(self, configs: Sequence[Mapping[str, Any]], first: int, gpus: float) -> None:
        message = self.ray.get(
            self._remote(_prepare_outcome, gpus)(configs, first, _device_of(gpus))
        )
        if message is not None:
            raise ModelUnavailableError(message)

    def _remote(self, function: Callable[..., Any], gpus: float) -> Callable[..., Any]:
        options = {"num_cpus": self.cpus, "num_gpus": gpus, "max_retries": 0}
        return self.ray.remote(**options)(function).remote

    def _run(self, jobs: Sequence[ClipJob], gpus: float) -> Iterator[ClipResult]:
        device, remote = _device_of(gpus), self._remote(work_on, gpus)
        running = {remote(job, device): (job, 1) for job in jobs}
        while running:
            (done,), _ = self.ray.wait(list(running), num_returns=1)
            job, attempt = running.pop(done)
            try:
                result = self.ray.get(done)
            except self.ray.exceptions.RayError as error:
                result = _failure(job, error)
            if result.status == "done" or attempt >= self.attempts:
                yield result
            else:
                running[remote(job, device)] = (job, attempt + 1)


def _device_of(gpus: float) -> str:
    return "cuda:0" if gpus else "cpu"  # Ray shows each task its own GPUs alone


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ModelUnavailableError(
            f"executor=ray needs Ray ({error}): pip install 'soccermaster[ray]', or take "
            "executor=local"
        ) from error
    return ray


@functools.cache
def _devices(device: str) -> tuple[str, ...]:
    if device == "cpu":
        return ("cpu",)
    import torch

    count = torch.cuda.device_count()
    if device in ("auto", "cuda") and count:
        return tuple(f"cuda:{index}" for index in range(count))
    if device == "auto":
        return ("cpu",)
    if not count:
        raise ValueError(f"expected a GPU for device {device!r}, got none. Take device=cpu.")
    return (device,)


def _begin_worker(devices: Any, parent: int) -> None:
    global _device
    _device = devices.get()

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _prepare_here(configs: Sequence[Mapping[str, Any]], first: int) -> str | None:
    return _prepare_outcome(configs, first, _device)


def _prepare_outcome(configs: Sequence[Mapping[str, Any]], first: int, device: str) -> str | None:
    try:
        prepare(configs, first, device)
    except ModelUnavailableError as error:
        return str(error)
    return None


def _work_here(job: ClipJob) -> ClipResult:
    return work_on(job, _device)


def _until_loaded(future: Future) -> None:
    message = future.result()
    if message is not None:
        raise ModelUnavailableError(message)


def _failure(job: ClipJob, error: BaseException) -> ClipResult:
    message = " ".join(f"{type(error).__name__}: {error}".split())
    return ClipResult(job.clip_id, "failed", failed_stage="worker", error=message)
