// A web server on Node's http: node node.mjs LOG. Writes what it saw, one line a request.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const log = process.argv[2];

const escaped = (text) =>
  [...Buffer.from(String(text ?? ""), "latin1")]
    .map((b) => (b < 0x20 || b > 0x7e || b === 0x22 || b === 0x5c ? `\\x${b.toString(16).padStart(2, "0")}` : String.fromCharCode(b)))
    .join("");

// The path as an application reads it: by the URL standard, then decoded.
const path = (url) => {
  try {
    return Buffer.from(decodeURIComponent(new URL(url, "http://upstream").pathname), "utf8").toString("latin1");
  } catch {
    return `undecodable ${url}`;
  }
};

const server = createServer({ maxHeaderSize: 64 * 1024 }, (req, res) => {
  let size = 0;
  req.on("data", (piece) => (size += piece.length));
  req.on("end", () => {
    const line = `${req.method} ${req.url} HTTP/${req.httpVersion}`;
    const fields = [req.headers["x-request-id"], line, path(req.url), req.headers.host, req.headers["x-nt"], size];
    appendFileSync(log, fields.map(escaped).join("\t") + "\n");
    res.end("node");
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
