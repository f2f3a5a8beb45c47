"use strict";
(() => {
  const trace = JSON.parse(document.getElementById("trace").textContent);
  const rows = trace.rows;
  const KINDS = ["MSG", "RPY", "ERR", "ANS", "NUL", "SEQ", "malformed", "unread", "tls", "end"];
  const BATCH = 400; // rows made at once: a long trace must not freeze the browser
  const GAP_US = 1000000; // silence that is shown as such
  const HUES = [265, 210, 145, 300, 35, 180, 95, 240];
  const $ = (id) => document.getElementById(id);

  // All text of peers goes through textContent: none of it becomes markup.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    for (const child of children) if (child != null) element.append(child);
    return element;
  }
  function svg(tag, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text != null) element.textContent = text;
    return element;
  }

  const seconds = (us) => (us / 1e6).toFixed(6);
  function span(us) {
    if (us < 1000) return us + " µs";
    if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 2 : 1) + " ms";
    return (us / 1e6).toFixed(2) + " s";
  }
  function size(octets) {
    if (octets < 1024) return octets + (octets === 1 ? " octet" : " octets");
    if (octets < 1048576) return (octets / 1024).toFixed(1) + " KiB";
    return (octets / 1048576).toFixed(1) + " MiB";
  }
  function colour(channel) {
    if (channel == null) return "var(--faint)";
    if (channel === 0) return "hsl(215 14% var(--lightness))";
    // Channels of one side are odd, those of the other even. No red: that is for what is wrong.
    return `hsl(${HUES[((channel >> 1) + (channel % 2 ? 0 : 4)) % HUES.length]} 70% var(--lightness))`;
  }
  function octetsOf(row) {
    if (row.payload_base64 != null) return Uint8Array.from(atob(row.payload_base64), (c) => c.charCodeAt(0));
    return new TextEncoder().encode(row.payload || "");
  }
  function textOf(row) {
    return row.payload != null ? row.payload : new TextDecoder().decode(octetsOf(row));
  }
  // Entity headers end with an empty line; the empty header part is that line alone (RFC 3080 §2.2.2).
  function split(text) {
    const found = /^(?:[!-9;-~]+:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)*\r?\n/.exec(text);
    return found ? [found[0], text.slice(found[0].length)] : ["", text];
  }
  const isError = (row) => Boolean(row.refusal || row.faults);
  const isFrame = (row) => row.header != null;

  // What is shown
  const state = { text: "", session: "", errors: false, channels: new Set(), kinds: new Set() };
  const channels = [...new Set(rows.map((row) => row.channel).filter((number) => number != null))].sort((a, b) => a - b);
  const kinds = KINDS.filter((kind) => rows.some((row) => row.kind === kind));
  const profiles = new Map();
  for (const row of rows) if (row.profile && row.channel !== 0) {
    // Sessions use the same numbers for different profiles.
    if (!profiles.has(row.channel)) profiles.set(row.channel, new Set());
    profiles.get(row.channel).add(row.profile);
  }
  channels.forEach((channel) => state.channels.add(channel));
  kinds.forEach((kind) => state.kinds.add(kind));
  const haystacks = new Map();
  function haystack(row) {
    if (!haystacks.has(row)) {
      const parts = [row.header, row.kind, row.meaning, row.profile, textOf(row), ...(row.faults || [])];
      haystacks.set(row, parts.filter(Boolean).join("\n").toLowerCase());
    }
    return haystacks.get(row);
  }
  function isWanted(row) {
    return (!state.session || String(row.session) === state.session)
      && (!state.errors || isError(row))
      && state.kinds.has(row.kind)
      && (row.channel == null || state.channels.has(row.channel))
      && (!state.text || haystack(row).includes(state.text));
  }

  // The ladder: of the rows that are wanted those from `from` to `to` are in the page, so that long traces stay quick.
  let wanted = [];
  let from = 0, to = 0;
  const earlier = make("button", { class: "more", type: "button", onclick: addEarlier });
  const later = make("button", { class: "more", type: "button", onclick: addLater });
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) entry.target === later ? addLater() : addEarlier();
  });
  function show() {
    wanted = rows.filter(isWanted);
    current = -1;
    $("none").hidden = wanted.length > 0;
    $("count").textContent = wanted.length === rows.length ? `${rows.length} rows` : `${wanted.length} of ${rows.length} rows`;
    layOut(0);
    chart();
  }
  function layOut(begin) {
    from = to = begin;
    $("ladder").replaceChildren(earlier, later);
    addLater();
  }
  function addLater() {
    const end = Math.min(to + BATCH, wanted.length);
    later.before(rungs(to, end));
    to = end;
    offerMore();
  }
  function addEarlier() {
    const begin = Math.max(from - BATCH, 0);
    earlier.after(rungs(begin, from));
    from = begin;
    offerMore();
  }
  function offerMore() {
    observer.disconnect();
    earlier.textContent = `show earlier ones (${from})`;
    later.textContent = `show more (${wanted.length - to} left)`;
    for (const [button, left] of [[earlier, from], [later, wanted.length - to]]) {
      button.hidden = left === 0;
      if (left > 0) observer.observe(button);
    }
  }
  function rungs(begin, end) {
    const fragment = document.createDocumentFragment();
    for (let at = begin; at < end; at++) {
      const before = wanted[at - 1];
      const row = wanted[at];
      if (!before || before.session !== row.session) {
        const client = trace.clients.find((client) => client.session === row.session);
        fragment.append(make("div", { class: "divider" }, `session ${row.session}` + (client ? `, ${client.client}` : "")));
      } else if (row.us - before.us >= GAP_US) {
        fragment.append(make("div", { class: "gap" }, make("i"), make("span", {}, `${span(row.us - before.us)} of silence`)));
      }
      fragment.append(rung(row));
    }
    return fragment;
  }
  const elements = new WeakMap();
  function rung(row) {
    const classes = ["row", row.from, row.kind.toLowerCase()];
    if (row.refusal) classes.push("refusal");
    if (row.faults) classes.push("fault");
    const label = make("div", { class: "label" });
    if (row.faults) label.append(make("span", { class: "mark", title: row.faults.join("\n") }, "!"));
    label.append(make("code", {}, row.header || row.kind));
    const [text, isFaint] = remark(row);
    if (text) label.append(make("span", { class: isFaint ? "faint" : "" }, text));
    const time = make("span", { class: "time" }, seconds(row.us), row.after_us == null ? null : make("b", {}, "after " + span(row.after_us)));
    const lane = make("div", { class: "lane" }, make("div", { class: "arrow" }, label));
    const element = make("details", { class: classes.join(" "), style: `--channel: ${colour(row.channel)}` },
      make("summary", {}, time, lane));
    element.addEventListener("toggle", () => {
      if (element.open && element.children.length === 1) element.append(details(row));
      if (element.open) cursor(row);
    });
    element.addEventListener("focusin", () => { current = wanted.indexOf(row); });
    elements.set(row, element);
    return element;
  }
  function remark(row) {
    if (row.faults) return [row.faults.join("; "), false];
    if (row.meaning) return [row.meaning, false];
    if (row.kind === "SEQ") return ["", true];
    if (row.kind === "tls") return [size(row.size) + " encrypted", true];
    if (row.kind === "unread") return [size(row.size) + " behind what is no frame", true];
    if (row.kind === "end") return [`the ${row.from} ended the connection`, true];
    if (row.payload == null) return [row.size ? size(row.size) + " that are not text" : "", true];
    const body = split(row.payload)[1];
    return [body.length > 160 ? body.slice(0, 160) + "…" : body, true];
  }
  function details(row) {
    const list = make("dl");
    const add = (name, value, kind) => {
      if (value != null && value !== "") list.append(make("dt", {}, name), make("dd", { class: kind }, String(value)));
    };
    for (const fault of row.faults || []) add("wrong", fault, "bad");
    add("says", row.meaning);
    add("profile", row.profile);
    if (isFrame(row)) {
      const words = row.header.split(" ");
      const names = row.kind === "SEQ" ? ["kind", "channel", "acknowledges up to octet", "window (octets)"]
        : ["kind", "channel", "message number", "more frames follow", "sequence number", "size (octets)", "answer number"];
      words.forEach((word, index) => {
        if (word === ".") word = "no";
        if (word === "*") word = "yes";
        add(names[index], word);
      });
    }
    add("time", `${seconds(row.us)} s` + (row.begun_us != null ? `, began ${span(row.us - row.begun_us)} before` : ""));
    if (row.after_us != null) add("reply after", span(row.after_us));
    if (row.level) add("window", `the ${row.level.sender} may now send ${size(row.level.room)} on channel ${row.level.channel}`);
    const box = make("div", { class: "details" }, list);
    if (row.payload != null || row.payload_base64 != null) payload(row, box);
    return box;
  }
  function payload(row, box) {
    const pre = make("pre");
    const views = { text: "as text", hex: "as octets" };
    const tabs = make("div", { class: "tabs" });
    const choose = (view) => {
      for (const tab of tabs.querySelectorAll("button")) tab.setAttribute("aria-pressed", String(tab.dataset.view === view));
      pre.className = view;
      pre.replaceChildren();
      if (view === "hex") dump(row, pre);
      else {
        const [headers, body] = split(textOf(row));
        if (headers.trim()) pre.append(make("b", {}, headers));
        pre.append(body);
      }
    };
    for (const [view, name] of Object.entries(views)) tabs.append(make("button", { type: "button", "data-view": view, onclick: () => choose(view) }, name));
    if (row.left_out) tabs.append(make("small", {}, `the last ${size(row.left_out)} are not in this page`));
    box.append(tabs, pre);
    choose(row.wrong_at != null || row.payload == null ? "hex" : "text");
  }
  function dump(row, pre) {
    const octets = octetsOf(row);
    for (let begin = 0; begin < octets.length; begin += 16) {
      pre.append(begin.toString(16).padStart(6, "0"), " ");
      let text = "";
      for (let at = begin; at < begin + 16; at++) {
        if (at >= octets.length) { pre.append("   "); continue; }
        const hex = octets[at].toString(16).padStart(2, "0");
        pre.append(" ", at === row.wrong_at ? make("mark", {}, hex) : hex);
        text += octets[at] >= 0x20 && octets[at] < 0x7f ? String.fromCharCode(octets[at]) : ".";
      }
      pre.append("  ", text, "\n");
    }
  }

  // Windows over time
  const HEIGHT = 190, LEFT = 64, RIGHT = 10, TOP = 8, BOTTOM = 20;
  let scale = null;
  function chart() {
    const session = state.session || String((rows[0] || {}).session || "");
    const of_session = rows.filter((row) => String(row.session) === session);
    const series = new Map();
    for (const row of of_session) {
      if (!row.level || !state.channels.has(row.level.channel)) continue;
      const key = row.level.channel + " " + row.level.sender;
      if (!series.has(key)) series.set(key, []);
      series.get(key).push([row, row.level.room]);
    }
    const box = $("chart");
    box.replaceChildren();
    $("windows").hidden = series.size === 0;
    if (series.size === 0) { scale = null; return; }
    const WIDTH = Math.max(box.clientWidth, 300);
    $("lines").textContent = (trace.clients.length > 1 ? `session ${session}; ` : "") + "client solid, listener dashed; click to go there";
    // Over time, silence takes all the room; frame by frame, none.
    const byFrame = $("axis").value === "frame";
    const places = new Map(of_session.map((row, index) => [row, byFrame ? index : row.us]));
    const ends = minmax([...places.values()]);
    const first = Math.min(...ends), last = Math.max(...ends, first + 1);
    const rooms = [].concat(...[...series.values()].map((points) => minmax(points.map((point) => point[1]))));
    const step = tick(Math.max(4096, ...rooms));
    const most = Math.ceil(Math.max(4096, ...rooms) / step) * step, least = Math.min(0, ...rooms);
    const across = (place) => LEFT + (place - first) / (last - first) * (WIDTH - LEFT - RIGHT);
    const x = (row) => across(places.get(row));
    const y = (room) => TOP + (most - room) / (most - least) * (HEIGHT - TOP - BOTTOM);
    const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "windows over time" });
    for (let room = 0; room <= most; room += step) {
      root.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(room), y2: y(room) }));
      root.append(svg("text", { x: LEFT - 6, y: y(room) + 4, "text-anchor": "end" }, room === 0 ? "0" : size(room).replace(".0 ", " ")));
    }
    for (const part of WIDTH < 600 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
      const place = first + (last - first) * part;
      const us = byFrame ? (of_session[Math.round(place)] || of_session[0]).us : place;
      root.append(svg("text", { x: across(place), y: HEIGHT - 5, "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" }, (us / 1e6).toFixed(4) + " s"));
    }
    root.append(svg("line", { class: "grid zero", x1: LEFT, x2: WIDTH - RIGHT, y1: y(0), y2: y(0) }));
    for (const [key, points] of series) {
      const [channel, sender] = key.split(" ");
      let path = "", level = null;
      for (const [row, room] of thinned(points, x)) {
        path += level == null ? `M${x(row).toFixed(1)} ${y(room).toFixed(1)}` : `H${x(row).toFixed(1)}V${y(room).toFixed(1)}`;
        level = room;
      }
      path += `H${across(last)}`;
      const line = svg("path", { d: path, "stroke-dasharray": sender === "client" ? "none" : "5 4" });
      line.style.stroke = colour(Number(channel));
      line.append(svg("title", {}, `channel ${channel}: what the ${sender} may send`));
      root.append(line);
    }
    for (const row of of_session) if (row.faults) {
      const at = x(row);
      root.append(svg("path", { class: "fault", d: `M${at - 5} ${HEIGHT - BOTTOM}h10l-5 -9z` }));
    }
    scale = { x, root, session };
    root.addEventListener("click", (event) => {
      const area = root.getBoundingClientRect();
      const at = (event.clientX - area.left) / area.width * WIDTH;
      const candidates = wanted.filter((row) => places.has(row));
      const distance = (row) => Math.abs(x(row) - at);
      if (candidates.length) go(candidates.reduce((best, row) => distance(row) < distance(best) ? row : best));
    });
    box.append(root);
  }
  // The power of two that is between a third and a sixth of `most`.
  function tick(most) {
    return 2 ** Math.floor(Math.log2(most / 3));
  }
  function minmax(values) {
    let least = Infinity, most = -Infinity;
    for (const value of values) { if (value < least) least = value; if (value > most) most = value; }
    return values.length ? [least, most] : [0];
  }
  // At most the first, last, lowest and highest of the points that share a pixel.
  function thinned(points, x) {
    if (points.length < 4000) return points;
    const out = [];
    let column = [];
    const flush = () => {
      if (column.length > 4) {
        const by = (better) => column.reduce((best, point) => better(point[1], best[1]) ? point : best);
        const kept = new Set([column[0], by((a, b) => a < b), by((a, b) => a > b), column[column.length - 1]]);
        out.push(...column.filter((point) => kept.has(point)));
      } else out.push(...column);
      column = [];
    };
    for (const point of points) {
      if (column.length && Math.floor(x(point[0])) !== Math.floor(x(column[0][0]))) flush();
      column.push(point);
    }
    flush();
    return out;
  }
  function cursor(row) {
    if (!scale || String(row.session) !== scale.session) return;
    const old = scale.root.querySelector(".cursor");
    if (old) old.remove();
    scale.root.append(svg("line", { class: "cursor", x1: scale.x(row), x2: scale.x(row), y1: TOP, y2: HEIGHT - BOTTOM }));
  }
  // Where the reader is, as a place in `wanted`.
  let current = -1;
  function go(row, isOpened = true) {
    const place = wanted.indexOf(row);
    if (place < 0) return;
    if (place < from || place >= to) layOut(Math.max(place - BATCH / 4, 0));
    const element = elements.get(row);
    if (isOpened) element.open = true;
    element.scrollIntoView({ block: isOpened ? "center" : "nearest" });
    element.firstElementChild.focus({ preventScroll: true });
    current = place;
  }
  function step(by) {
    const place = Math.min(Math.max(current + by, 0), wanted.length - 1);
    if (place >= 0) go(wanted[place], false);
  }

  // Search and filters
  function chips(box, values, set, caption) {
    for (const value of values) {
      const input = make("input", { type: "checkbox", checked: true, "aria-label": String(value) });
      input.addEventListener("change", () => { input.checked ? set.add(value) : set.delete(value); show(); });
      box.append(make("label", { class: "chip", style: `--channel: ${typeof value === "number" ? colour(value) : "transparent"}` },
        input, typeof value === "number" ? make("i") : null, make("span", {}, caption(value))));
    }
  }
  chips($("channels"), channels, state.channels, (channel) => `${channel} ${channel === 0 ? "management" : [...profiles.get(channel) || []].join(", ")}`);
  chips($("kinds"), kinds, state.kinds, (kind) => `${kind} ${rows.filter((row) => row.kind === kind).length}`);
  $("session").append(make("option", { value: "" }, "all sessions"),
    ...trace.clients.map((client) => make("option", { value: client.session }, `session ${client.session}, ${client.client}`)));
  $("session").hidden = trace.clients.length < 2;
  $("session").addEventListener("change", (event) => { state.session = event.target.value; show(); });
  $("axis").addEventListener("change", chart);
  window.addEventListener("resize", chart);
  $("errors").addEventListener("change", (event) => { state.errors = event.target.checked; show(); });
  let typing = 0;
  $("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.text = event.target.value.toLowerCase(); show(); }, 120);
  });
  function nextError() {
    const next = wanted.findIndex((row, index) => index > current && isError(row));
    const found = next >= 0 ? next : wanted.findIndex(isError);
    if (found >= 0) go(wanted[found]);
  }
  function clear() {
    state.text = $("search").value = "";
    state.session = $("session").value = "";
    state.errors = $("errors").checked = false;
    channels.forEach((channel) => state.channels.add(channel));
    kinds.forEach((kind) => state.kinds.add(kind));
    document.querySelectorAll(".chips input").forEach((input) => { input.checked = true; });
    show();
  }
  $("next-error").addEventListener("click", nextError);
  $("clear").addEventListener("click", clear);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    if (event.target.matches("input[type=search], select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); $("search").focus(); }
    if (event.key === "n") nextError();
    if (event.key === "j") step(1);
    if (event.key === "k") step(-1);
  });

  const errors = rows.filter(isError).length;
  const octets = rows.reduce((sum, row) => sum + (row.size || 0), 0);
  $("summary").textContent = [`to ${trace.listener}`, trace.at.replace(/\.\d+/, ""), `${trace.clients.length} session${trace.clients.length === 1 ? "" : "s"}`,
    `${rows.filter(isFrame).length} frames`, size(octets), errors ? `${errors} error${errors === 1 ? "" : "s"}` : "no errors"].join(" · ");
  $("next-error").disabled = errors === 0;
  document.title = `BEEP trace: ${trace.listener}`;
  show();
})();
