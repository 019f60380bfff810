"""Comet: model.train(data=…, callbacks=[on_train_start, on_fit_epoch_end, on_train_end])

Needs `pip install comet-ml`.
"""

import comet_ml


def on_train_start(trainer):
    experiment = comet_ml.start(project_name="attention-yolo")
    experiment.log_parameters(vars(trainer.args))


def on_fit_epoch_end(trainer):
    losses = trainer.label_loss_items(trainer.tloss)
    experiment = comet_ml.get_running_experiment()
    experiment.log_metrics({**losses, **trainer.metrics, **trainer.lr}, step=trainer.epoch)


def on_train_end(trainer):
    experiment = comet_ml.get_running_experiment()
    experiment.log_model("best", str(trainer.best))
    experiment.end()
