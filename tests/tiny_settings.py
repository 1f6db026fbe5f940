"""Settings of the quickest training there is, for tests of what trains."""

TINY = {
    "data.size": 16,
    "data.batch_size": 2,
    "data.epoch_samples": 2,
    "data.echo": 1,
    "data.textures": 2,
    "data.texture_size": 64,
    "data.val_size": 16,
    "data.val_pairs": 1,
    "trainer.max_epochs": 1,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32-true",
}
