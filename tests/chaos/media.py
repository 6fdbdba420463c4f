"""Media that fail: a full disk, an object store in trouble, inputs and stored objects that are not whole."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path
from random import Random

from chaos.failure import Failure
from chaos.laws import STORE, no_false_success, nothing_or_right, right
from chaos.moments import drawn
from chaos.processes import Processes, wait_until
from chaos.scene import LONGEST_S, N_BLOCKS, N_SCENARIOS, Scene
from chaos.shared import shared
from support.faulty_proxy import Fault, FaultyProxy
from support.s3 import SeaweedFS, environment_of

REFUSED = 1
"""Exit code of an input that is refused, and of `verify` where it finds differences."""
PATIENCE = {"RISKPIPE_S3_TIMEOUT_SECONDS": "4", "RISKPIPE_S3_RETRY_SECONDS": "10"}
"""How long a request to a store in trouble is waited for, and how long it is tried again."""


def why_no_disk() -> str | None:
    """Say why no small disk can be mounted here; None where it can."""
    if os.geteuid() != 0:
        return "a full disk needs a small tmpfs, and only root may mount one"
    if shutil.which("mount") is None or shutil.which("umount") is None:
        return "a full disk needs mount and umount"
    return None


def disk(scene: Scene, seed: int, folder: Path) -> str:
    """The store's disk is full at some moment; room is made, and the same command finishes the night."""
    random = drawn("disk", seed)
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in scene.clean.rglob("*") if path.is_file())
    size = int(needed * random.uniform(0.02, 1.05))
    disk = folder / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "riskpipe-chaos", disk], check=True)
    try:
        with Processes(folder) as processes:
            store = disk / "store"
            executor = random.choice(("serial", "local"))
            config = scene.config(folder, store, executor=executor, n_workers=2)
            ended = processes.riskpipe("run", config).wait(LONGEST_S)
            no_false_success(scene, store, ended, STORE)
            if ended.code and "No space left" not in ended.output:
                raise Failure(f"a full disk is not named\n{ended.output[-2000:]}")
            subprocess.run(["mount", "-o", f"remount,size={4 * needed}", disk], check=True)
            processes.riskpipe("run", config).succeeds(LONGEST_S)
            right(scene, store)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    return f"{size / needed:.0%} of the room needed, {executor}; exit {ended.code}"


def s3(scene: Scene, seed: int, folder: Path) -> str:
    """The object store answers 500 or 503, late, or not whole, or not at all for good; then it is well again."""
    random = drawn("s3", seed)
    rate, dies_at = random.uniform(0.005, 0.05), random.choice((None, random.randrange(100, 1500)))
    faults = (Fault(status=500), Fault(status=503), Fault(delay_s=0.3), Fault(keep=7), Fault(is_lost=True))
    server = shared("seaweedfs", SeaweedFS)
    with FaultyProxy(server.port) as proxy:
        bucket = server.make_bucket()
        environment = environment_of(proxy.endpoint, cache=folder / "cache") | PATIENCE
        uri = f"s3://{bucket}/{uuid.uuid4().hex}"
        is_dead = False

        def trouble(_method: str, _path: str) -> Fault | None:
            nonlocal is_dead
            is_dead = is_dead or (dies_at is not None and len(proxy.seen) > dies_at)
            if is_dead:
                return Fault(status=503)
            return random.choice(faults) if random.random() < rate else None

        with Processes(folder, **environment) as processes:
            proxy.rule = trouble
            night = processes.riskpipe("run", scene.config(folder, uri, block_size=N_SCENARIOS // 2))
            ended = night.wait(LONGEST_S)
            proxy.rule = lambda _method, _path: None
            with surroundings(environment):
                no_false_success(scene, uri, ended, STORE)
                if ended.code and dies_at is None:
                    raise Failure(f"a store that fails now and then ended the night\n{ended.output[-2000:]}")
                if ended.code:
                    processes.riskpipe("run", folder / "night.yaml").succeeds(LONGEST_S)
                    right(scene, uri)
    outage = f", outage from request {dies_at}" if dies_at is not None else ""
    return f"{rate:.1%} of {len(proxy.seen)} requests in trouble{outage}; exit {ended.code}"


class surroundings:  # noqa: N801  used as a function
    """This process's own environment, as the commands' is, and none of a person's credentials."""

    def __init__(self, variables: dict[str, str]):
        self._variables = variables

    def __enter__(self):
        self._before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(self._variables)

    def __exit__(self, *_error):
        os.environ.clear()
        os.environ.update(self._before)


def truncated(scene: Scene, seed: int, folder: Path) -> str:
    """An input is cut short: it is refused by name, the night published before stays, and a whole one is the same."""
    random = drawn("truncated", seed)
    inputs = Path(shutil.copytree(scene.inputs, folder / "inputs"))
    store = scene.copy_of_clean(folder)
    victim = random.choice(sorted(path for path in inputs.rglob("*") if path.is_file()))
    whole = victim.read_bytes()
    keep = random.choice((0, 1, 4, len(whole) - 1, len(whole) - 4, random.randrange(len(whole))))
    victim.write_bytes(whole[:keep])
    config = scene.config(folder, store)
    config.write_text(config.read_text(encoding="utf-8").replace(str(scene.inputs), str(inputs)), encoding="utf-8")
    with Processes(folder) as processes:
        ended = processes.riskpipe("run", config).wait(LONGEST_S)
        no_false_success(scene, store, ended, REFUSED)
        if not ended.code:
            raise Failure(f"{victim.name} with {keep} of {len(whole)} bytes was taken for a whole one")
        if victim.stem not in ended.output:
            raise Failure(f"the refusal does not name {victim.name}\n{ended.output[-2000:]}")
        right(scene, store)
        victim.write_bytes(whole)
        if "was done already" not in processes.riskpipe("run", config).succeeds(LONGEST_S).output:
            raise Failure("the same inputs made another night")
    return f"{victim.name} cut to {keep:,} of {len(whole):,} bytes"


def chunk(scene: Scene, seed: int, folder: Path) -> str:
    """A stored object is deleted, cut or changed: of a published night `verify` names it, of another a rerun.

    A book is made anew by the rerun.
    """
    random = drawn("chunk", seed)
    return (_published_damage if random.random() < 0.5 else _unfinished_damage)(scene, random, folder)


def _published_damage(scene: Scene, random: Random, folder: Path) -> str:
    store = scene.copy_of_clean(folder)
    (run,) = store.glob("runs/*")
    promised = [run / "manifest.json", run / "plan.json", *(run / "cube.zarr").rglob("*"), *(run / "parts").rglob("*")]
    promised += [*store.glob("books/*/*")]
    victim = random.choice(sorted(path for path in promised if path.is_file()))
    before = victim.read_bytes()
    how = _damage(victim, random)
    with Processes(folder) as processes:
        found = processes.riskpipe("verify", store).wait(LONGEST_S)
        if found.code != REFUSED or "Traceback" in found.output:
            raise Failure(f"{victim} {how}: verify ended with {found.code}\n{found.output[-2000:]}")
        if victim.name not in found.output and f"{victim.parent.name}/{victim.name}" not in found.output:
            raise Failure(f"{victim} {how}: verify does not name it\n{found.output[-2000:]}")
        again = processes.riskpipe("run", scene.config(folder, store)).wait(LONGEST_S)
        is_of_book = victim.parent.parent.name == "books"
        if (again.code == 0) != is_of_book or "Traceback" in again.output:
            raise Failure(f"{victim} {how}: the night was published again, exit {again.code}\n{again.output[-2000:]}")
        victim.write_bytes(before)
        right(scene, store)
        shutil.rmtree(run)
        processes.riskpipe("run", folder / "night.yaml").succeeds(LONGEST_S)
        right(scene, store)
    return f"published {victim.relative_to(store)} {how}; verify names it, a rerun ends with {again.code}"


def _unfinished_damage(scene: Scene, random: Random, folder: Path) -> str:
    store = folder / "store"
    config, n = scene.config(folder, store), random.randrange(1, N_BLOCKS)
    mark = random.choice((f"block-{n - 1:05}", f"block-{n - 1:05}", "stage-scenarios", "stage-accounts"))
    with Processes(folder) as processes:
        night = processes.riskpipe("run", config)
        wait_until(
            lambda: night.is_over or any(store.glob(f"runs/*/marks/{mark}.json")),
            timeout=LONGEST_S,
            what=f"{mark} is marked",
        )
        night.kill()
        (run,) = store.glob("runs/*")
        kept = [*(run / "cube.zarr").rglob("c/**/*"), *(run / "parts").rglob("*"), *(run / "marks").glob("block-*")]
        kept += [*store.glob("books/*/*")]
        victim = random.choice(sorted(path for path in kept if path.is_file()))
        how = _damage(victim, random)
        ended = processes.riskpipe("run", config).wait(LONGEST_S)
        no_false_success(scene, store, ended, STORE)
        if ended.code:
            nothing_or_right(scene, store)
            shutil.rmtree(run)  # as the message says
            processes.riskpipe("run", config).succeeds(LONGEST_S)
        right(scene, store)
    return f"{victim.relative_to(store)} {how} after {mark}; exit {ended.code}"


def _damage(victim: Path, random: Random) -> str:
    data = victim.read_bytes()
    how = random.choice(("deleted", "cut", "changed"))
    if how == "deleted":
        victim.unlink()
    elif how == "cut":
        victim.write_bytes(data[: random.randrange(len(data))])
    else:
        at = random.randrange(len(data))
        victim.write_bytes(data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :])
    return how
