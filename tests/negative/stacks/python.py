# A web server on Python's http.server: python3 python.py LOG. Writes what it saw, one line a request.
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes, urlsplit

LOG = open(sys.argv[1], "a", buffering=1)
LOCK = threading.Lock()


def escaped(raw):
    raw = raw if isinstance(raw, bytes) else str(raw).encode("latin-1", "replace")
    plain = lambda b: 0x20 <= b <= 0x7E and b not in (0x22, 0x5C)
    return "".join(chr(b) if plain(b) else f"\\x{b:02x}" for b in raw)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            size = 0
            while True:
                n = int(self.rfile.readline().strip(), 16)
                size += len(self.rfile.read(n))
                if n == 0:
                    while self.rfile.readline().strip():
                        pass
                    return size
                self.rfile.readline()
        return len(self.rfile.read(int(self.headers.get("content-length", 0))))

    def answer(self):
        size = self.body()
        path = unquote_to_bytes(urlsplit(self.path).path)
        seen = [self.headers.get("x-request-id", ""), self.requestline, path]
        seen += [self.headers.get("host", ""), self.headers.get("x-nt", ""), size]
        with LOCK:
            LOG.write("\t".join(escaped(s) for s in seen) + "\n")
        text = b"python"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
