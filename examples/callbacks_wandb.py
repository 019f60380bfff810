"""Weights & Biases: model.train(data=…, callbacks=[on_train_start, on_fit_epoch_end, on_train_end])

Needs `pip install wandb`.
"""

import wandb


def on_train_start(trainer):
    wandb.init(project="attention-yolo", name=trainer.save_dir.name, config=vars(trainer.args))


def on_fit_epoch_end(trainer):
    losses = trainer.label_loss_items(trainer.tloss)
    wandb.log({**losses, **trainer.metrics, **trainer.lr}, step=trainer.epoch)


def on_train_end(trainer):
    wandb.save(str(trainer.best))
    wandb.finish()
