"use strict";
// Safeconduct's own script. Pages work without it, except where something is live or a key must sign. It never builds markup
// from text: nodes are cloned from templates and filled by textContent.
(() => {
  const $ = (sel, root = document) => root.querySelector(sel);
  const $$ = (sel, root = document) => Array.from(root.querySelectorAll(sel));

  // ---- bytes and requests
  const enc = (buf) => {
    let s = "";
    for (const b of new Uint8Array(buf)) s += String.fromCharCode(b);
    return btoa(s).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const dec = (text) => {
    const s = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(s, (c) => c.charCodeAt(0));
  };
  const token = () => $('meta[name="csrf-token"]')?.content ?? "";
  const post = async (url, body) => {
    const headers = { "content-type": "application/json", accept: "application/json" };
    if (token()) headers["x-csrf-token"] = token();
    const res = await fetch(url, { method: "POST", headers, body: JSON.stringify(body ?? {}), credentials: "same-origin" });
    const data = res.status === 204 ? {} : await res.json().catch(() => ({}));
    if (!res.ok) throw new Error(data.error?.words ?? `The server answered ${res.status}.`);
    return data;
  };
  const go = (location) => {
    const to = new URL(location || "/", window.location.href);
    if (to.protocol === "https:" || to.protocol === "http:") window.location.assign(to.href);
  };
  const say = (root, words, wrong = false) => {
    const at = $("[data-status]", root);
    if (at) { at.textContent = words; at.classList.toggle("wrong", wrong); }
  };
  const guarded = (root, run) => async (event) => {
    event.preventDefault();
    const buttons = $$("button", root);
    buttons.forEach((b) => { b.disabled = true; });
    try { await run(); } catch (e) {
      const words = e.name === "NotAllowedError" ? "It was cancelled or timed out. Try again." : e.message;
      say(root, words, true);
    } finally { buttons.forEach((b) => { b.disabled = false; }); }
  };

  // ---- passkeys
  const described = (list) => list?.map((c) => ({ ...c, id: dec(c.id) }));
  const requestOptions = (o) => ({ ...o, challenge: dec(o.challenge), allowCredentials: described(o.allowCredentials) });
  const creationOptions = (o) => ({
    ...o, challenge: dec(o.challenge), user: { ...o.user, id: dec(o.user.id) }, excludeCredentials: described(o.excludeCredentials),
  });
  const inner = (options) => options.publicKey ?? options;
  const common = (c) => ({ id: c.id, rawId: enc(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults() });
  const asserted = (c) => ({
    ...common(c),
    response: {
      authenticatorData: enc(c.response.authenticatorData), clientDataJSON: enc(c.response.clientDataJSON),
      signature: enc(c.response.signature), userHandle: c.response.userHandle ? enc(c.response.userHandle) : null,
    },
  });
  const created = (c) => ({
    ...common(c),
    response: {
      attestationObject: enc(c.response.attestationObject), clientDataJSON: enc(c.response.clientDataJSON),
      transports: c.response.getTransports?.() ?? [],
    },
  });
  const assert = async (root, base, body) => {
    say(root, "Waiting for your passkey…");
    const begun = await post(`${base}/begin`, body);
    const credential = await navigator.credentials.get({ publicKey: requestOptions(inner(begun.publicKey)) });
    const done = await post(`${base}/finish`, { ceremony: begun.ceremony, credential: asserted(credential) });
    go(done.location);
  };
  for (const form of $$("[data-passkey]")) {
    if (!window.PublicKeyCredential) { continue; }
    form.hidden = false;
    const kind = form.dataset.passkey;
    const back = form.dataset.return ?? "/";
    form.addEventListener("submit", guarded(form, async () => {
      if (kind === "sign-in") {
        const person = $('input[name="person"]')?.value.trim();
        await assert(form, "/sign-in/passkey", { person: person || null, return: back });
      } else if (kind === "step-up") {
        await assert(form, "/step-up/passkey", { return: back });
      } else {
        say(form, "Waiting for your device…");
        const begun = await post("/me/passkeys/begin", { name: form.elements.name.value.trim() });
        const credential = await navigator.credentials.create({ publicKey: creationOptions(inner(begun.publicKey)) });
        await post("/me/passkeys/finish", { ceremony: begun.ceremony, credential: created(credential) });
        window.location.reload();
      }
    }));
  }

  // ---- the key of this browser
  const store = (mode, run) => new Promise((resolve, reject) => {
    const open = indexedDB.open("safeconduct", 1);
    open.onupgradeneeded = () => open.result.createObjectStore("device");
    open.onerror = () => reject(open.error);
    open.onsuccess = () => {
      const tx = open.result.transaction("device", mode);
      const req = run(tx.objectStore("device"));
      tx.oncomplete = () => { open.result.close(); resolve(req.result); };
      tx.onerror = () => reject(tx.error);
    };
  });
  const ecdsa = { name: "ECDSA", namedCurve: "P-256" };
  const sign = async (key, challenge) => {
    const text = new TextEncoder().encode(`safeconduct device proof v1\n${challenge}`);
    return enc(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, text));
  };
  for (const form of $$("[data-enrol]")) {
    if (!window.isSecureContext || !window.indexedDB) continue;
    form.hidden = false;
    form.addEventListener("submit", guarded(form, async () => {
      say(form, "Making a key…");
      const pair = await crypto.subtle.generateKey(ecdsa, false, ["sign", "verify"]);
      const spki = await crypto.subtle.exportKey("spki", pair.publicKey);
      const { challenge } = await post("/device/challenge");
      const signature = await sign(pair.privateKey, challenge);
      const { device } = await post("/me/devices/enrol", { name: form.elements.name.value.trim(), public_key: enc(spki), challenge, signature });
      await store("readwrite", (s) => s.put({ device, key: pair.privateKey }, "self"));
      go(`/device/prove?return=${encodeURIComponent("/me/devices")}`);
    }));
  }
  for (const card of $$("[data-prove]")) {
    (async () => {
      const back = card.dataset.prove;
      const kept = window.indexedDB ? await store("readonly", (s) => s.get("self")).catch(() => null) : null;
      if (!kept) { say(card, "This browser has no device key."); go(back); return; }
      try {
        say(card, "Signing…");
        const { challenge } = await post("/device/challenge");
        const signature = await sign(kept.key, challenge);
        const done = await post(`/device/prove?return=${encodeURIComponent(back)}`, { device: kept.device, challenge, signature });
        go(done.location ?? back);
      } catch (e) { say(card, `The device could not be recognised: ${e.message}`, true); }
    })();
  }

  // ---- live verdicts
  const MAX_LIVE_ROWS = 120;
  const fill = (root, name, value) => {
    const at = $(`[data-f="${name}"]`, root);
    if (!at) return;
    if (value && typeof value === "object") {
      at.textContent = value.text;
      if (value.href && value.href.startsWith("/")) at.setAttribute("href", value.href);
    } else { at.textContent = value ?? ""; }
  };
  const live = $("[data-live]");
  const template = $("#verdict-row");
  if (live && template && window.EventSource) {
    const status = $("[data-live-status]", live);
    const pause = $("[data-live-pause]", live);
    const body = $("[data-live-rows] tbody");
    let held = false, fresh = 0, newest = Number(live.dataset.newest);
    const source = new EventSource(live.dataset.live);
    const state = (words, on) => { status.textContent = words; live.classList.toggle("on", on); };
    source.onopen = () => { state("Live", true); pause.hidden = false; };
    source.onerror = () => state("Connecting…", false);
    source.addEventListener("verdict", (event) => {
      const v = JSON.parse(event.data);
      if (Number(v.seq) <= newest) return;
      newest = Number(v.seq);
      if (held || !body) { fresh += 1; status.textContent = `${fresh} new, not shown`; return; }
      const row = template.content.firstElementChild.cloneNode(true);
      $('[data-f="seq"]', row).setAttribute("href", `/console/verdicts/${Number(v.seq)}`);
      const at = $('[data-f="at"]', row);
      at.textContent = "now"; at.title = v.exact; at.dataset.at = v.at;
      for (const sign of $$("[data-answer]", row)) if (sign.dataset.answer !== v.answer) sign.remove();
      for (const name of ["who", "app", "action", "what", "device", "reason", "took"]) fill(row, name, v[name]);
      body.prepend(row);
      while (body.rows.length > MAX_LIVE_ROWS) body.lastElementChild.remove();
    });
    pause.addEventListener("click", () => {
      held = !held; fresh = 0;
      pause.textContent = held ? "Go on" : "Pause";
      state(held ? "Paused" : "Live", !held);
    });
    window.addEventListener("pagehide", () => source.close());
  }

  // ---- a narrow screen shows the place in the navigation
  $("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

  // ---- ages, filters
  const units = [[86400, "d", 172800], [3600, "h", 3600], [60, "min", 60], [1, "s", 1]];
  const rough = (s) => { for (const [size, unit, from] of units) if (s >= from) return `${Math.floor(s / size)} ${unit}`; return null; };
  const age = () => {
    const now = Date.now();
    for (const t of $$("tr.fresh time[data-at]")) {
      const words = rough((now - Number(t.dataset.at)) / 1000);
      t.textContent = words ? `${words} ago` : "now";
    }
  };
  setInterval(age, 5000);
  for (const form of $$("form[data-auto]")) {
    form.addEventListener("change", (e) => { if (e.target.matches("select")) form.requestSubmit(); });
    form.addEventListener("submit", () => { for (const f of form.elements) if (f.name && !f.value) f.disabled = true; });
  }
})();
