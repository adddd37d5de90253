"""Tables of a forecast: the shapes of its trials, the needs of the whole."""

from collections.abc import Iterator
from datetime import timedelta

from rich.console import RenderableType
from rich.filesize import decimal
from rich.text import Text

from study.forecast.study_forecast import Forecast, ShapeForecast
from study.report.fitted_table import FittedTable

SOURCES = {
    "ledger": "measured in finished trials",
    "rehearsal": "measured in a rehearsal",
    "scaled": "scaled from other batches or shapes",
    "assumption": "from the table of devices",
    "traced": "counted in one step on fake tensors",
    "unknown": "cannot be traced",
}


def forecast_tables(forecast: Forecast) -> Iterator[RenderableType]:
    """Yield a table with a row per shape, then lines on the whole."""
    yield _shapes_table(forecast)
    yield Text("\n".join(forecast_lines(forecast)))


def forecast_lines(forecast: Forecast) -> list[str]:
    """Return lines on the whole: trials, time, money, memory, disk, what cannot run."""
    total, device = forecast.total, forecast.device
    where = f"{device.count} x {device.name}" if device.name != "cpu" else f"{device.count} CPU threads"
    hours = f"{format_seconds(total.wall_seconds)} on {where}, one trial on each at a time"
    lines = [
        f"to train: {total.trials:,} trials, {total.steps:,} optimizer steps, {format_flops(total.flops)}",
        f"time: {hours}; device time: {format_seconds(total.device_seconds)}",
    ]
    if total.assumed:
        lines.append(f"  an assumption for {total.assumed:.0%} of it: {device.source}; `rehearse` measures")
    if total.price is not None:
        lines.append(f"price: {total.price:,.2f}")
    lines.append(
        f"memory: up to {decimal(total.peak_bytes)} in a trial, {decimal(total.host_memory_bytes)} of host memory; "
        f"disk: {decimal(total.disk_bytes)} for models and checkpoints"
        + ("" if total.free_bytes is None else f", {decimal(total.free_bytes)} free")
    )
    lines += [
        f"models kept of {each.study} ({each.keep_models}): {each.kept_models:,}, {decimal(each.kept_bytes)}"
        for each in forecast.studies
    ]
    return [*lines, *(f"cannot run as it is: {line}" for line in forecast.blocked)]


def _shapes_table(forecast: Forecast) -> FittedTable:
    headings = ["model", "px", "batch", "optimizer", "trials", "FLOPs a step", "s a step", "peak memory"]
    fits = ["largest micro-batch", "trials per GPU"] if forecast.device.name != "cpu" else []
    rows = [_row(each, with_fit=bool(fits)) for each in forecast.shapes]
    used = dict.fromkeys(name for each in forecast.shapes for name in (each.rate, each.memory))
    caption = "; ".join(f"{name}: {SOURCES[name]}" for name in used)
    numbers = [*headings[1:3], *headings[4:], *fits]
    return FittedTable(
        [*headings, *fits, "time from", "memory from"],
        rows,
        title=f"shapes of what is to be trained, in {forecast.shapes[0].precision} on {forecast.device.name}",
        caption=caption,
        numbers=numbers,
        spare=["FLOPs a step", "memory from", "time from"],
    )


def _row(shape: ShapeForecast, *, with_fit: bool) -> list[str]:
    model = shape.model if shape.trained == "all" else f"{shape.model} ({shape.trained})"
    parts = "" if shape.micro_batch == shape.batch_size else f" by {shape.micro_batch}"
    fit = ["-" if each is None else str(each) for each in (shape.largest_micro_batch, shape.trials_per_device)]
    return [
        model,
        str(shape.resolution),
        f"{shape.batch_size}{parts}",
        shape.optimizer,
        str(shape.trials),
        format_flops(shape.step_flops),
        f"{shape.step_s:.3g}" if shape.step_s < 1000 else f"{shape.step_s:,.0f}",
        decimal(shape.peak_bytes) if shape.peak_bytes else "-",
        *(fit if with_fit else []),
        shape.rate,
        shape.memory,
    ]


def format_flops(flops: float) -> str:
    """Return FLOPs with a prefix: `1.33 EFLOP`."""
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if flops >= size:
            return f"{flops / size:.3g} {prefix}FLOP"
    return f"{flops / 1e6:.3g} MFLOP"


def format_seconds(seconds: float) -> str:
    """Return a duration as a person says it: `3 h 20 min`, `4 min 10 s`, `42 s`."""
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    hours += 24 * whole.days
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
