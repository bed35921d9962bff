"""Web server of the browser page, on this machine alone, with the headers that allow threads.

python web/serve.py                    http://127.0.0.1:8000
"""

import dataclasses
import functools
import http.server
import pathlib

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import check_fields, number
from keras_rfdn.data.system.errors import UserError

DIST = pathlib.Path(__file__).resolve().parent / "dist"


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Serve the page that web/build.py has built."""

    port: int = number(8000, least=0)  # 0: any that is free


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, with the headers that the folder's file _headers lists, which some hosts of static files read as well."""

    def end_headers(self):
        headers = pathlib.Path(self.directory) / "_headers"
        for line in headers.read_text().splitlines()[1:] if headers.is_file() else []:
            self.send_header(*line.strip().split(": ", 1))
        super().end_headers()

    def log_message(self, *_):
        """No line for each file."""


def main(config):
    """Serves until Ctrl-C."""
    check_fields(config)
    if not DIST.is_dir():
        raise UserError(f"no {DIST}; build it first: python web/build.py")
    with open_server(DIST, config.port) as server:
        print(f"http://127.0.0.1:{server.server_port} (Ctrl-C ends it)", flush=True)
        server.serve_forever()


def open_server(folder, port=0):
    """HTTP server of a folder on this machine's own address; serve_forever starts it. port: 0 for any that is free."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=folder))


if __name__ == "__main__":
    command.run(main, ServeConfig)
