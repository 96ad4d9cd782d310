"""`vmcoredd control`: looks at a card while it is served, and changes it."""

from __future__ import annotations

import json as jsonlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vmcoredd.cli.options import FaultNames, Json, choose
from vmcoredd.cli.output import emit_json, envelope, out, size, table
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.emu.control import Client

PAUSE = 0.25
"""Seconds from one look for news to the next."""
SOCKET = "/run/t6.sock"


def _example(words: str) -> str:
    return f"Example: `vmcoredd control {SOCKET} {words}`"


class _StateByDefault(TyperGroup):
    """Takes options where a command is expected for those of `state`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, ["state", *args] if args[0][:1] == "-" else args)


app = typer.Typer(
    cls=_StateByDefault,
    help="Look at an adapter while it is served, and change it.",
    epilog=f"Examples: `vmcoredd control {SOCKET}`; "
    f"`vmcoredd control {SOCKET} fault on firmware-crash`; "
    f"`vmcoredd control {SOCKET} log --follow`",
)


def register(parent: typer.Typer) -> None:
    """Adds the group."""
    parent.add_typer(app, name="control")


@app.callback(invoke_without_command=True)
def control(
    context: typer.Context,
    socket: Annotated[
        Path, typer.Argument(metavar="CONTROL", help="The control socket, or the adapter's.")
    ],
) -> None:
    """Look at an adapter that `emulate` or `guest` serves, and change it while it runs.

    Without a command, shows the adapter's state.
    """
    context.obj = socket
    if context.invoked_subcommand is None:
        state(context)


@contextmanager
def _connected(context: typer.Context) -> Iterator[Client]:
    from vmcoredd.emu.control import Client

    with Client(context.obj) as client:
        yield client


def _asked(context: typer.Context, do: str, **arguments: Any) -> dict[str, Any]:
    """Returns the answer to one request."""
    with _connected(context) as client:
        return client.ask(do, **arguments)


@app.command(epilog=_example("state"))
def state(context: typer.Context, json: Json = False) -> None:
    """Show the state: client, faults, firmware, ports, queues, counters."""
    answer = _asked(context, "state")
    if json:
        emit_json("control state", answer)
        return
    out.say("{card} ({chip}), seed {seed}, scene {scene}, on {socket}".format(**answer))
    waiting = [f"{text} (waits)" for text in answer["waiting_faults"]]
    for line in (_client(answer), f"faults: {', '.join([*answer['faults'], *waiting]) or 'none'}"):
        out.say(line)
    out.say(_firmware(answer["firmware"]))
    _ports(answer["ports"])
    _queues(answer["queues"])
    rows = [*_counts(answer), *_nonzero("access log", answer["access_log"])]
    table("", ("counter", "count"), rows)
    _snapshots(answer["snapshots"])


def _client(answer: Mapping[str, Any]) -> str:
    client = answer["client"]
    who = "process {process} of user {user}".format(**client) if client else "none"
    return f"client: {who}"


def _firmware(firmware: Mapping[str, Any]) -> str:
    last = firmware["last_command"]
    told = f"last command {_command(last)}" if last else "no command yet"
    halted = ", halted" if firmware["halted"] else ""
    records = counted(firmware["log_records"], "log record")
    return f"firmware {firmware['version']}: {firmware['mode']}{halted}; {told}; {records}"


def _command(last: Mapping[str, Any]) -> str:
    name = last["name"] or "unknown"
    return f"{name} ({last['opcode']:#04x}) of PF{last['pf']}, return value {last['retval']}"


def _counts(answer: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield "messages", answer["messages"]
    yield from _nonzero("accesses", answer["accesses"])
    engine = ("dma_reads", "dma_writes", "interrupts", "troubles")
    yield from ((name.replace("_", " "), answer[name]) for name in engine)


def _nonzero(what: str, counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(f"{what}: {name}", count) for name, count in counts.items() if count]


def _link(port: Mapping[str, Any]) -> str:
    return "up" if port["up"] else "down, cable pulled" if port["pulled"] else "down"


def _ports(ports: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            port["port"],
            _link(port),
            port["gbit_per_second"],
            port["wire"] if port["peer"] is None else f"{port['wire']} {port['peer']}",
            *port["sent"].values(),
            *port["received"].values(),
        )
        for port in ports
    ]
    sent, received = (("sent", "bytes", "dropped"), ("received", "bytes"))
    table("", ("port", "link", "Gbit/s", "wire", *sent, *received), rows)


def _queues(queues: Sequence[Mapping[str, Any]]) -> None:
    if not queues:
        return
    names = ("kind", "queue", "pf", "port", "entries", "pidx", "cidx", "halted")
    rows = [[queue[name] for name in names[:-1]] + [_yes(queue["halted"])] for queue in queues]
    table("", names, rows)


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _snapshots(snapshots: Sequence[Mapping[str, Any]]) -> None:
    if snapshots:
        table("", ("snapshot", "size"), [(o["name"], size(o["size_bytes"])) for o in snapshots])


faults = typer.Typer(no_args_is_help=True, help="Switch faults on, or list those that are on.")
app.add_typer(faults, name="fault")


@faults.command("on", epilog=_example("fault on firmware-crash"))
def fault_on(
    context: typer.Context,
    names: FaultNames,
    json: Json = False,
) -> None:
    """Switch faults on, or let them wait: FAULT@WHEN, as of `emulate --fault`."""
    _show_faults("fault on", _asked(context, "fault", on=names), json)


@faults.command("off", epilog=_example("fault off firmware-crash"))
def fault_off(
    context: typer.Context,
    texts: Annotated[
        list[str], typer.Argument(metavar="FAULT...", help="Those that are on, or FAULT@WHEN.")
    ],
    json: Json = False,
) -> None:
    """Undo faults, the last one first, or let them wait no more.

    What a fault changed is put back as far as it is still as the fault left it.
    """
    _show_faults("fault off", _asked(context, "fault", off=texts), json)


@faults.command("list", epilog=_example("fault list"))
def fault_list(context: typer.Context, json: Json = False) -> None:
    """List the faults that are on, and those that wait."""
    _show_faults("fault list", _asked(context, "fault"), json)


def _show_faults(command: str, answer: Mapping[str, Any], json: bool) -> None:
    if json:
        emit_json(f"control {command}", answer)
        return
    out.say_all(answer["faults"] or ["no fault is on"])
    out.say_all(f"{text}: waits" for text in answer["waiting_faults"])


@app.command(epilog=_example("link down 0"))
def link(
    context: typer.Context,
    change: Annotated[
        str, typer.Argument(metavar="up|down", help="up plugs the cable in, down pulls it.")
    ],
    port: Annotated[int, typer.Argument(min=0, metavar="PORT", help="The Ethernet port.")],
    json: Json = False,
) -> None:
    """Pull the cable of a port, or plug it in again; the firmware tells the driver."""
    answer = _asked(context, "link", **{choose(change, ("up", "down"), "LINK", "change"): port})
    if json:
        emit_json("control link", answer)
        return
    for each in answer["ports"]:
        out.say(f"port {each['port']}: {_link(each)}")


@app.command(epilog=_example("log --follow"))
def log(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing what is logged, until ^C.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the firmware's log, and the access log: invalid accesses, unimplemented registers.

    With --follow and --json, each line is an object.
    """
    with _connected(context) as client:
        if not follow:
            _show_log(_whole_log(client), json)
            return
        for answer in _news(client, follow=True):
            if json:
                sys.stdout.write(jsonlib.dumps(envelope("control log", answer)) + "\n")
            else:
                _show_log(answer, json=False)
            sys.stdout.flush()


def _whole_log(client: Client) -> dict[str, Any]:
    """Returns all that is logged, as one answer."""
    whole, *others = _news(client, follow=False)
    for answer in others:
        for key, value in answer.items():
            whole[key] = whole[key] + value if isinstance(value, list) else value
    return whole


def _news(client: Client, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Yields answers: the first, then those with something new, until there is nothing."""
    answer = client.ask("log")
    yield answer
    while True:
        places = {f"{log}_from": answer[f"{log}_next"] for log in ("firmware", "accesses")}
        answer = client.ask("log", **places)
        if answer["firmware"] or answer["accesses"]:
            yield answer
        elif follow:
            time.sleep(PAUSE)
        else:
            return


def _show_log(answer: Mapping[str, Any], json: bool) -> None:
    if json:
        emit_json("control log", answer)
        return
    from vmcoredd.cudbg.printf import formatted

    for record in answer["firmware"]:
        text = formatted(record["format"].encode("latin-1"), record["operands"])
        where = "{at_seconds:12.6f} {level:<6} {facility:<8}".format(**record)
        out.say(f"firmware {where} {text}")
    for access in answer["accesses"]:
        times = f", {counted(access['count'], 'time')}" if access["count"] > 1 else ""
        out.say(f"access   {access['kind'].replace('_', ' ')}: {access['access']}{times}")


@app.command(epilog=_example("snapshot before"))
def snapshot(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Its name; without one, lists the snapshots."),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the snapshot.")] = False,
    json: Json = False,
) -> None:
    """Keep the adapter's state under a name, in the process that serves it."""
    if forget and name is None:
        raise typer.BadParameter("name the snapshot to forget", param_hint="--forget")
    asked = {} if name is None else {"forget" if forget else "name": name}
    answer = _asked(context, "snapshot", **asked)
    if json:
        emit_json("control snapshot", answer)
    elif answer["snapshots"]:
        _snapshots(answer["snapshots"])
    else:
        out.say("no snapshot is kept")


@app.command(epilog=_example("restore before"))
def restore(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The snapshot's name.")],
    json: Json = False,
) -> None:
    """Bring the adapter back to a snapshot, with the faults that were on."""
    answer = _asked(context, "restore", name=name)
    if json:
        emit_json("control restore", answer)
        return
    out.say(f"restored {name}; faults: {', '.join(answer['faults']) or 'none'}")


@app.command(epilog=_example("reset"))
def reset(context: typer.Context, json: Json = False) -> None:
    """Reset the adapter's function as FLR does: its queues and mailboxes."""
    _done(context, "reset", json)


traces = typer.Typer(no_args_is_help=True, help="Record a trace while the adapter is served.")
app.add_typer(traces, name="trace")


@traces.command("start", epilog=_example("trace start t6.npz"))
def trace_start(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A new file, for `vmcoredd trace`.")],
    json: Json = False,
) -> None:
    """Begin a trace; the process that serves the adapter writes the file."""
    answer = _asked(context, "trace", to=os.path.abspath(file))
    if json:
        emit_json("control trace start", answer)
        return
    out.say(f"tracing to {answer['file']}")


@traces.command("stop", epilog=_example("trace stop"))
def trace_stop(context: typer.Context, json: Json = False) -> None:
    """End the trace, and complete its file."""
    answer = _asked(context, "trace-end")
    if json:
        emit_json("control trace stop", answer)
        return
    out.say(f"{counted(answer['events'], 'event')}, {answer['lost']:,} lost")


@app.command(epilog=_example("stop"))
def stop(context: typer.Context, json: Json = False) -> None:
    """End the server in order, as SIGTERM does; its sockets go away."""
    _done(context, "stop", json)


def _done(context: typer.Context, do: str, json: bool) -> None:
    answer = _asked(context, do)
    if json:
        emit_json(f"control {do}", answer)
