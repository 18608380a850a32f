"""Write the logs of this folder with the tools themselves.

Needs torch, tensorboard, lightning, transformers, accelerate and wandb 0.19; run it in an empty
folder, then copy the files here:

    python make_logs.py

The curves are those of `CURVES`: logistic growths over 200 steps, with ICL and CIWL evaluated every
fifth step.  The web pages of wandb and TensorBoard write their CSV files in a browser; here, their
columns are filled from what the tools recorded.
"""

import csv
import json
import math
import os
import random
import shutil
from pathlib import Path

N_STEPS, EVERY = 200, 5
os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": "wandb_run"}
os.environ |= {"WANDB_DISABLE_SYSTEM": "true", "WANDB__DISABLE_STATS": "true"}


def falls(step: float, at: float, width: float) -> float:
    return 1 / (1 + math.exp((step - at) / width))


def curves(step: int) -> dict[str, float]:
    """Losses of a race that ICL wins first and CIWL last, with noise of 1 %."""
    noise = random.Random(step)
    icl, ciwl = falls(step, 50, 10), falls(step, 130, 25)
    lost = 0.6 * (1 - ciwl)
    exact = {"train": icl * ciwl, "icl": icl * ciwl + lost, "ciwl": ciwl}
    return {name: 0.1 + 2 * x + noise.gauss(0, 0.02) for name, x in exact.items()}


def rows() -> list[tuple[int, dict[str, float]]]:
    """A training row each step, and an evaluation row each fifth."""
    found = []
    for step in range(1, N_STEPS + 1):
        now = curves(step)
        found.append((step, {"train/loss": now["train"]}))
        if step % EVERY == 0:
            found.append((step, {f"eval/{name}_loss": now[name] for name in ("icl", "ciwl")}))
    return found


def write_tensorboard() -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter("events") as writer:
        for step, row in rows():
            for name, value in row.items():
                writer.add_scalar(name, value, step, walltime=1e9 + step)
    (written,) = Path("events").iterdir()  # its name has that of the machine
    clean = Path("tensorboard_events") / "events.out.tfevents.1000000000.machine.1.0"
    clean.parent.mkdir()
    shutil.move(written, clean)
    shutil.rmtree("events")


def write_tensorboard_csv() -> None:
    """As TensorBoard's page downloads them: read back from the events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator("tensorboard_events", size_guidance={"scalars": 0})
    accumulator.Reload()
    folder = Path("tensorboard_csv")
    folder.mkdir()
    for tag in accumulator.Tags()["tensors"] + accumulator.Tags()["scalars"]:
        with open(folder / f"run-.-tag-{tag.replace('/', '_')}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["Wall time", "Step", "Value"])
            for event in accumulator.Scalars(tag):
                writer.writerow([event.wall_time, event.step, event.value])


def write_lightning() -> None:
    import lightning
    import torch

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch, index):
            self.log("train_loss", curves(self.global_step + 1)["train"])
            return (self.weight**2).sum()

        def validation_step(self, batch, index):
            now = curves(max(self.global_step, 1))
            self.log_dict({"val_icl_loss": now["icl"], "val_ciwl_loss": now["ciwl"]})

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(torch.zeros(N_STEPS, 1), batch_size=1)
    checks = torch.utils.data.DataLoader(torch.zeros(1, 1), batch_size=1)
    logger = lightning.pytorch.loggers.CSVLogger("lightning_run", name="", version="")
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=1,
        val_check_interval=EVERY,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), data, checks)
    Path("lightning").mkdir()
    shutil.move("lightning_run/metrics.csv", "lightning/metrics.csv")
    shutil.rmtree("lightning_run")


def write_trainer_state() -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    kinds = ("train", "icl", "ciwl")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.step = 0

        def forward(self, x, labels=None):
            self.step += self.training
            loss = curves(self.step)[kinds[int(labels[0])]]
            return {"loss": loss + 0 * self.weight.sum(), "logits": x}

    class Data(torch.utils.data.Dataset):
        def __init__(self, size: int, kind: str) -> None:
            self.size, self.kind = size, torch.tensor([float(kinds.index(kind))])

        def __len__(self) -> int:
            return self.size

        def __getitem__(self, index: int):
            return {"x": torch.zeros(1), "labels": self.kind}

    arguments = TrainingArguments(
        "hugging_face_run",
        max_steps=N_STEPS,
        per_device_train_batch_size=32,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=EVERY,
        save_strategy="no",
        lr_scheduler_type="constant",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        Model(),
        arguments,
        train_dataset=Data(N_STEPS * 32, "train"),
        eval_dataset={kind: Data(1, kind) for kind in kinds[1:]},
    )
    trainer.train()
    Path("hugging_face").mkdir()
    trainer.state.save_to_json("hugging_face/trainer_state.json")
    shutil.rmtree("hugging_face_run", ignore_errors=True)


def write_wandb() -> None:
    """Record a run offline, and write its history as the web page exports a panel, and as rows."""
    import wandb
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    Path("wandb_run").mkdir()
    run = wandb.init(project="race", name="bright-sun-1", settings={"x_disable_stats": True})
    for step, row in rows():
        run.log(row, step=step)
    run.finish()
    (recorded,) = Path("wandb_run").rglob("*.wandb")
    store, history = DataStore(), {}
    store.open_for_scan(str(recorded))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            name = item.key or "/".join(item.nested_key)
            history.setdefault(record.history.step.num, {})[name] = json.loads(item.value_json)
    shutil.rmtree("wandb_run")
    names = [f"{group}/{name}" for group, name in (("train", "loss"), ("eval", "icl_loss"))]
    names.append("eval/ciwl_loss")
    with open("wandb_export.csv", "w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        ends = ("", "__MIN", "__MAX")
        writer.writerow(
            ["Step", *(f"bright-sun-1 - {name}{end}" for name in names for end in ends)]
        )
        for step, row in history.items():
            cells = [row.get(name, "") for name in names for _ in ends]
            writer.writerow([step, *cells])
    with open("wandb_long.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "_step", "metric", "value"])
        for step, row in history.items():
            for name in names:
                if name in row:
                    writer.writerow(["bright-sun-1", step, name, row[name]])


def write_json_lines() -> None:
    """As trainers of one's own write them."""
    with open("rows.jsonl", "w") as file:
        for step, row in rows():
            file.write(json.dumps({"step": step, "note": "a text"} | row) + "\n")


def write_spreadsheet() -> None:
    """A table with decimal commas, in UTF-16, as spreadsheets save it."""
    lines = ["# exported from a spreadsheet", "step;train loss;ICL loss;CIWL loss;comment"]
    for step in range(1, N_STEPS + 1):
        now = curves(step)
        evaluated = ("icl", "ciwl") if step % EVERY == 0 else ()
        cells = [f"{now[name]:.6f}" if name in evaluated else "NA" for name in ("icl", "ciwl")]
        numbers = [f"{now['train']:.6f}", *cells]
        lines.append(";".join([str(step), *(n.replace(".", ",") for n in numbers), "a text"]))
    Path("spreadsheet.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-16")


if __name__ == "__main__":
    write_tensorboard()
    write_tensorboard_csv()
    write_lightning()
    write_trainer_state()
    write_wandb()
    write_json_lines()
    write_spreadsheet()
