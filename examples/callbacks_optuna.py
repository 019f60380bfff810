"""Optuna's pruning: a trial ends early if it is worse than the others at the same epoch.

Needs `pip install optuna`.
"""

import optuna

from api import YOLO


def train_trial(trial, cfg, data, **options):
    """Train with the rate that a trial proposes; return the fitness, which is maximised.

    The optimizer is named, since --optimizer auto chooses the rate itself.
    """

    def on_fit_epoch_end(trainer):
        trial.report(trainer.fitness, trainer.epoch)
        trainer.stop = trial.should_prune()

    lr0 = trial.suggest_float("lr0", 1e-4, 1e-1, log=True)
    model = YOLO(cfg)
    scores = model.train(
        data=data, lr0=lr0, optimizer="SGD", callbacks=[on_fit_epoch_end], **options
    )
    if trial.should_prune():
        raise optuna.TrialPruned
    return scores.fitness
