"""A PostgreSQL server of one's own: in a temporary folder, on a local socket, stopped and started at will."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

DEBIAN = "/usr/lib/postgresql"


def programs() -> Path | None:
    """Folder of the server's programs; ``None`` where it is not installed."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl"):
        return Path(found).parent
    folders = sorted(Path(DEBIAN).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return folders[-1].parent if folders else None


def why_not() -> str | None:
    """Why no server can be started here; ``None`` where one can."""
    if programs() is None:
        return "no PostgreSQL server is installed (Debian: apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (the extra 'postgres')"
    if os.geteuid() == 0 and subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
        return "PostgreSQL does not run as root, and there is no user 'postgres'"
    return None


class PostgresServer:
    """A server with trust in everybody who can reach its socket."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="lmm-pg-"))  # short: a socket's path has 107 characters at most
        self._databases = 0
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions")
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        command = [str(folder / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=self.folder)

    def start(self) -> None:
        """Start, and return when it answers."""
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Break every connection and stop."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "fast", "stop")

    def database(self) -> str:
        """URL of a new, empty database."""
        import psycopg

        self._databases += 1
        name = f"sweep{self._databases}"
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def close(self) -> None:
        """Stop and delete everything."""
        self.stop()
        shutil.rmtree(self.folder)
