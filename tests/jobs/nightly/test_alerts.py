import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from recsys.jobs.nightly.alerts import alert_file, alert_webhook, prometheus


def test_a_file_holds_reasons_while_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "deep/alert.txt"
    alert_file(path, ["users: 3", "lists: none"])
    assert path.read_text() == "users: 3\nlists: none\n"
    alert_file(path, [])
    assert not path.exists()
    alert_file(path, [])


def test_a_webhook_gets_json(caplog) -> None:
    got = list[object]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/hook"
    alert_webhook(url, {"published": False, "reasons": ["users: 3"]})
    server.shutdown()
    thread.join()
    server.server_close()
    assert got == [{"published": False, "reasons": ["users: 3"]}]
    alert_webhook(url, {})
    alert_webhook("no url", {})
    assert caplog.text.count("the webhook of [alert] could not be told") == 2


def test_figures_are_written_as_prometheus_reads_them(tmp_path: Path) -> None:
    prometheus(tmp_path / "recsys.prom", {"published": ("Whether", 1), "live_timestamp_seconds": ("When", 1741492800)})
    assert (tmp_path / "recsys.prom").read_text().splitlines() == [
        "# HELP recsys_nightly_published Whether",
        "# TYPE recsys_nightly_published gauge",
        "recsys_nightly_published 1.0",
        "# HELP recsys_nightly_live_timestamp_seconds When",
        "# TYPE recsys_nightly_live_timestamp_seconds gauge",
        "recsys_nightly_live_timestamp_seconds 1741492800.0",
    ]
