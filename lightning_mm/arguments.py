"""From command-line arguments to a call: commands by name, and functions by their signature and docstring."""

from collections.abc import Callable

from lightning_mm.errors import InputError, one_line


def subcommand(name: str, commands: dict[str, Callable[[list[str]], None]], args: list[str]) -> None:
    """Run the one of several commands that the first argument names, or explain them."""
    accepted = f"must be one of: {', '.join(commands)}"
    if not args:
        raise InputError(f"{name}: not said what to do; {accepted}")
    if args[0] in ("-h", "--help"):
        print(f"usage: lightning-mm {name} WHAT [OPTIONS]\n\nWHAT, whose --help explains it, is one of\n")
        for what, command in commands.items():
            print(f"  {what:10s} {(command.__doc__ or '').splitlines()[0]}")
        return
    if args[0] not in commands:
        raise InputError(f"{name} '{args[0]}': {accepted}")
    commands[args[0]](args[1:])


def call(function: Callable, name: str, args: list[str]) -> object:
    """Parse arguments by a function's signature and docstring, strictly, and call it."""
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(
        prog=f"lightning-mm {name}",
        description=(function.__doc__ or "").split("Args:")[0],
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_function_arguments(function, as_positional=True)
    try:
        options = parser.parse_args(args)
    except ArgumentError as error:
        raise InputError(one_line(error)) from None
    return function(**vars(parser.instantiate(options)))
