"""MLflow: model.train(data=…, callbacks=[on_train_start, on_fit_epoch_end, on_train_end])

Needs `pip install mlflow`. MLFLOW_TRACKING_URI names the server or folder.
"""

import re

import mlflow


def on_train_start(trainer):
    mlflow.start_run(run_name=trainer.save_dir.name)
    mlflow.log_params(vars(trainer.args))


def on_fit_epoch_end(trainer):
    values = {**trainer.label_loss_items(trainer.tloss), **trainer.metrics, **trainer.lr}
    plain = {re.sub(r"[()]", "_", name): value for name, value in values.items()}
    mlflow.log_metrics(plain, step=trainer.epoch)


def on_train_end(trainer):
    mlflow.log_artifact(str(trainer.best))
    mlflow.end_run()
