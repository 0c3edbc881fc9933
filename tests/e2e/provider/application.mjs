// An application behind the gateway: tells who it was told is asking, and keeps a WebSocket open at /live.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const TICK_MS = 100;
const LIVE = `<p id="state">Connecting</p><p id="ticks">0</p><script src="/live.js"></script>`;

const asker = (req) => {
  const assertion = req.headers["x-safeconduct-assertion"];
  if (!assertion) return "nobody";
  return JSON.parse(Buffer.from(assertion.split(".")[1], "base64url")).sub;
};

// Only the front page is live.
const page = (who, live) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Application</title>
<link rel="icon" href="data:,"></head><body><h1>The application</h1><p id="asker">Asked by ${who}.</p>${live ? LIVE : ""}</body></html>`;

const script = `"use strict";
const socket = new WebSocket("wss://" + location.host + "/live");
let ticks = 0;
socket.onopen = () => { document.getElementById("state").textContent = "Live"; };
socket.onmessage = () => { ticks += 1; document.getElementById("ticks").textContent = String(ticks); };
socket.onclose = () => { window.closedAt = Date.now(); document.getElementById("state").textContent = "Cut"; };
`;

const server = createServer((req, res) => {
  const isScript = req.url === "/live.js";
  res.setHeader("content-type", isScript ? "text/javascript; charset=utf-8" : "text/html; charset=utf-8");
  res.end(isScript ? script : page(asker(req), req.url === "/"));
});

server.on("upgrade", (req, socket) => {
  const accept = createHash("sha1").update(`${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
  // A text frame of four bytes.
  const timer = setInterval(() => socket.write(Buffer.from([0x81, 4, 0x74, 0x69, 0x63, 0x6b])), TICK_MS);
  socket.on("data", () => {});
  socket.on("error", () => socket.destroy());
  socket.on("close", () => clearInterval(timer));
});

server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
