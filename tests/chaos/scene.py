"""Scene: the small night that every target disturbs, and what an undisturbed one leaves. Made once for all seeds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from chaos.processes import Processes
from support.nights import decoded, settings, write_config, write_inputs

GRID = {"index_shock": [-0.4, -0.15, 0.0, 0.2], "basis_shock": [-0.02, 0.0], "depth_factor": [0.2]}
N_SCENARIOS, BLOCK_SIZE = 16, 2
N_BLOCKS = N_SCENARIOS // BLOCK_SIZE
"""4 x 2 scenarios of thin markets in two variants, two at a time: blocks of a tenth of a second, mostly writing."""
SECONDS = "seconds"
LONGEST_S = 150.0
"""No command takes longer, whatever happens to it: an undisturbed one takes some seconds, and clients give a lost
scheduler, workers that do not come back, or a server that does not answer up to a minute each."""


@dataclass(frozen=True)
class Scene:
    """Inputs, the right answer, and how long it takes to get there."""

    folder: Path
    truth: dict[str, np.ndarray]
    """Every decoded array and coordinate of the undisturbed cube."""
    seconds: float
    """Of an undisturbed command, with a compiled kernel."""

    @property
    def inputs(self) -> Path:
        """Snapshot and history."""
        return self.folder / "inputs"

    @property
    def clean(self) -> Path:
        """A store with the undisturbed night, published."""
        return self.folder / "clean"

    def config(self, folder: Path, store: Path | str, **changes) -> Path:
        """Write the night's configuration into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return write_config(folder / "night.yaml", night_settings(self.inputs, store, **changes))

    def copy_of_clean(self, folder: Path) -> Path:
        """Copy the undisturbed store."""
        return Path(shutil.copytree(self.clean, folder / "store"))


def night_settings(inputs: Path, store: Path | str, **changes) -> dict:
    """Return the night's configuration as plain values."""
    fixed = {"scenarios": {"grid": GRID}, "block_size": BLOCK_SIZE, "calibration": {"lookback_days": 15}}
    return settings(inputs, store, **(fixed | changes))


def make_scene(folder: Path) -> Scene:
    """Make inputs and run the night undisturbed; kernels are compiled, where they are not, and that is not counted."""
    inputs = write_inputs(folder / "inputs", n_accounts=2000)
    with Processes(folder / "undisturbed") as processes:
        config = write_config(folder / "clean.yaml", night_settings(inputs, folder / "clean"))
        ended = processes.riskpipe("run", config).succeeds(timeout=900)
    (folder / SECONDS).write_text(f"{min(ended.seconds, 10.0)}", encoding="utf-8")
    return open_scene(folder)


def open_scene(folder: Path) -> Scene:
    """Open a scene that was made before: processes that disturb nights side by side share one."""
    return Scene(folder, decoded(folder / "clean"), float((folder / SECONDS).read_text(encoding="utf-8")))
