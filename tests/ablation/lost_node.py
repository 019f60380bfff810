"""A program for test_cluster.py: a Ray cluster of two nodes on this machine runs a study, and one
node is lost.

    python tests/ablation/lost_node.py PROJECT FLAGS…

Runs ablate.py's main with --engine ray; as soon as a cell runs on the second node, that node is
killed. Prints "lost" with the number of cells that were running. It is a program of its own since
Ray stays in a process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> None:
    from ray.cluster_utils import Cluster

    import ablate
    from ablation import cluster as tasks
    from utils.errors import run_main

    folder = Path(sys.argv[1])
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8}
    )
    second = cluster.add_node(num_cpus=1, object_store_memory=10**8)
    cluster.wait_for_nodes()
    tasks.RAY_POLL = 0.2

    def lose() -> None:
        end = time.monotonic() + 200
        while time.monotonic() < end:
            started = list(folder.glob("study/cells/*/weights/last.pt"))
            if len(started) >= 2:  # one on each node
                print("lost", len(started), flush=True)
                cluster.remove_node(second, allow_graceful=False)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    status = run_main(ablate.main, [*sys.argv[2:], "--engine", "ray", "--address", cluster.address])
    thread.join()
    sys.exit(status)


if __name__ == "__main__":
    main()
