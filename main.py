"""Atelier's command line: settings in, a running part of the server out."""

import argparse
import asyncio
import getpass
import sys

from app.settings import Settings, SettingsError, load_settings

DEFAULT_COMMAND = "serve"


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns the process's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given or [DEFAULT_COMMAND])
    if options.command == "schema":
        return _print_schema()
    if options.command == "keys" and options.action == "new":
        return _print_new_key(options.id)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return _run(options, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="main.py", description="A self-hosted GraphQL server for AI images.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    serve = commands.add_parser(DEFAULT_COMMAND, help="answer requests and make pictures (the default)")
    serve.add_argument("--no-worker", action="store_true", help="answer requests only; workers make the pictures")
    commands.add_parser("worker", help="make pictures only")
    commands.add_parser("migrate", help="bring the database to the newest version")
    commands.add_parser("schema", help="print the GraphQL schema")
    commands.add_parser("check", help="say whether database, store and providers are reachable and configured")
    user = commands.add_parser("user", help="users and their tokens").add_subparsers(dest="action", required=True)
    create = user.add_parser("create", help="make a user; asks for the password")
    create.add_argument("email")
    create.add_argument("--name", default="")
    create.add_argument("--community", default="Atelier", help="made when there is none of that name")
    create.add_argument("--admin", action="store_true")
    create.add_argument("--operator", action="store_true", help="may sign in to the admin page of the whole server")
    create.add_argument("--test", action="store_true", help="a test user, for admins to act for")
    create.add_argument("--no-password", action="store_true", help="signs in with `user token` only")
    for name, text in (("token", "print a new token"), ("revoke", "make every token of the user dead")):
        user.add_parser(name, help=text).add_argument("email")
    keys = commands.add_parser("keys", help="master keys").add_subparsers(dest="action", required=True)
    keys.add_parser("new", help="print a new master key").add_argument("id", help="what it is called, such as 2026a")
    keys.add_parser("rotate", help="seal every profile's key with the first of MASTER_KEYS")
    keys.add_parser("status", help="say how the profiles' keys are sealed")
    return parser


def _print_schema() -> int:
    from graph.schema import printed_schema

    print(printed_schema(), end="")
    return 0


def _print_new_key(key_id: str) -> int:
    from storage.vault import new_master_key

    try:
        print(new_master_key(key_id))
    except ValueError as problem:
        print(f"That can't be a key's id: {problem}.", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from app import commands
    from app.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    try:
        match options.command:
            case "serve":
                return commands.serve(settings, works=not options.no_worker)
            case "worker":
                return commands.work(settings)
            case "migrate":
                return commands.migrate(settings)
            case "check":
                return asyncio.run(commands.check(settings))
            case "keys":
                return asyncio.run(commands.keys(settings, options.action))
            case _:
                return asyncio.run(commands.user(settings, options, _password(options)))
    except commands.CommandFailed as error:
        print(error, file=sys.stderr)
        return 1


def _password(options: argparse.Namespace) -> str | None:
    """A new user's password: from the terminal without echo, or the first line of what is piped in."""
    if options.action != "create" or options.no_password:
        return None
    return getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
