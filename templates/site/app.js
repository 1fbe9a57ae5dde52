// The page of the tasks API. It learns the API's URL from config.json, which a deploy writes beside it.

const WORDS = { TODO: "To do", IN_PROGRESS: "In progress", DONE: "Done", LOW: "Low", MEDIUM: "Medium", HIGH: "High" };
const PAGE = 20;
const at = (id) => document.getElementById(id);
const list = at("tasks");
let api = "";
let nextKey = null;
let round = 0;

class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, { body, etag } = {}) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (etag) headers["if-match"] = etag;
  if (method === "POST") headers["idempotency-key"] = crypto.randomUUID();
  let answer;
  try {
    answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new ApiError(0, "The API cannot be reached. Check the connection and try again.");
  }
  const release = answer.headers.get("x-release");
  if (release) at("release").textContent = `release ${release}`;
  const data = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new ApiError(answer.status, data?.message ?? `The API answered ${answer.status}.`);
  return { data, etag: answer.headers.get("etag") };
}

function say(text, bad = false) {
  at("message").textContent = text;
  at("message").classList.toggle("bad", bad);
}

// The list.

async function load({ more = false } = {}) {
  const mine = ++round;
  const filters = new FormData(at("filters"));
  const query = new URLSearchParams({ limit: PAGE });
  if (filters.get("status")) query.set("status", filters.get("status"));
  if (filters.get("tag").trim()) query.set("tag", filters.get("tag").trim());
  let key = more ? nextKey : null;
  at("failure").hidden = true;
  list.setAttribute("aria-busy", "true");
  if (!more) {
    list.replaceChildren();
    at("empty").hidden = true;
    at("more").hidden = true;
  }
  try {
    let first;
    // A page may be empty and not be the last: the API reads so much for one request and no more.
    do {
      if (key !== null) query.set("lastKey", key);
      const { data } = await call("GET", `/tasks?${query}`);
      if (mine !== round) return;
      first = data.items.map(row);
      key = data.nextKey;
    } while (first.length === 0 && key !== null);
    list.append(...first);
    nextKey = key;
    at("more").hidden = nextKey === null;
    showWhenEmpty();
    if (more) first[0]?.querySelector(".title").focus();
  } catch (error) {
    if (mine !== round) return;
    at("failure").hidden = false;
    at("failure").firstElementChild.textContent = error.message;
  } finally {
    if (mine === round) list.setAttribute("aria-busy", "false");
  }
}

function showWhenEmpty() {
  const filters = new FormData(at("filters"));
  const filtered = filters.get("status") || filters.get("tag").trim();
  at("empty").textContent = filtered ? "No task matches the filter." : "No tasks yet. Add the first one above.";
  at("empty").hidden = list.children.length > 0;
}

function row(task) {
  const item = at("task").content.firstElementChild.cloneNode(true);
  paint(item, task);
  item.querySelector("input").addEventListener("change", () => complete(item));
  item.querySelector(".title").addEventListener("click", () => edit(item));
  return item;
}

function paint(item, task) {
  item.task = task;
  item.dataset.id = task.taskId;
  item.classList.toggle("done", task.status === "DONE");
  const box = item.querySelector("input");
  box.checked = task.status === "DONE";
  box.setAttribute("aria-label", `Done: ${task.title}`);
  item.querySelector(".title").textContent = task.title;
  const status = item.querySelector(".status");
  status.textContent = WORDS[task.status];
  status.className = `status ${task.status}`;
  const facts = [];
  if (task.priority !== "MEDIUM") facts.push(fact(`${WORDS[task.priority]} priority`, task.priority));
  if (task.dueAt) {
    const due = new Date(task.dueAt);
    const late = due < new Date() && task.status !== "DONE";
    facts.push(fact(`due ${due.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`, late ? "late" : ""));
  }
  for (const tag of task.tags ?? []) facts.push(fact(`#${tag}`, ""));
  item.querySelector(".facts").replaceChildren(...facts.flatMap((one, index) => (index ? [" · ", one] : [one])));
}

function fact(text, kind) {
  const span = document.createElement("span");
  span.textContent = text;
  if (kind) span.className = kind;
  return span;
}

async function complete(item) {
  const box = item.querySelector("input");
  const status = box.checked ? "DONE" : "TODO";
  box.disabled = true;
  try {
    const { data } = await call("PATCH", `/tasks/${item.dataset.id}`, { body: { status } });
    paint(item, data.data);
    say(status === "DONE" ? "Done." : "Open again.");
  } catch (error) {
    box.checked = !box.checked;
    say(error.message, true);
  } finally {
    box.disabled = false;
  }
}

at("create").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  const title = form.elements.title.value.trim();
  if (!title) return;
  button.disabled = true;
  try {
    const { data } = await call("POST", "/tasks", { body: { title } });
    form.reset();
    list.prepend(row(data.data));
    at("empty").hidden = true;
    say("Added.");
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
    form.elements.title.focus();
  }
});

// The editor. It saves only over what it showed; somebody else's change is shown, not overwritten.

const editor = at("editor");
const fields = editor.querySelector("form").elements;
let editing = null;

async function edit(item) {
  at("editor-message").textContent = "";
  try {
    const { data, etag } = await call("GET", `/tasks/${item.dataset.id}`);
    editing = { item, etag };
    fill(data);
    editor.showModal();
    fields.title.focus();
  } catch (error) {
    if (error.status === 404) item.remove();
    say(error.message, true);
  }
}

function fill(task) {
  fields.title.value = task.title;
  fields.description.value = task.description ?? "";
  fields.status.value = task.status;
  fields.priority.value = task.priority;
  fields.dueAt.value = task.dueAt ? local(new Date(task.dueAt)) : "";
  fields.tags.value = (task.tags ?? []).join(", ");
}

function local(date) {
  return new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function written() {
  const tags = fields.tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  return {
    title: fields.title.value.trim(),
    description: fields.description.value.trim() || null,
    status: fields.status.value,
    priority: fields.priority.value,
    dueAt: fields.dueAt.value ? new Date(fields.dueAt.value).toISOString() : null,
    tags: tags.length ? tags : null,
  };
}

editor.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { item, etag } = editing;
  try {
    const { data } = await call("PUT", `/tasks/${item.dataset.id}`, { body: written(), etag });
    paint(item, data.data);
    editor.close();
    say("Saved.");
    item.querySelector(".title").focus();
  } catch (error) {
    if (error.status !== 412) {
      at("editor-message").textContent = error.message;
      return;
    }
    const { data, etag: now } = await call("GET", `/tasks/${item.dataset.id}`);
    editing.etag = now;
    paint(item, data);
    at("editor-message").textContent =
      `Somebody changed this task meanwhile.\nIt now says: “${data.title}”, ${WORDS[data.status].toLowerCase()}.\nSave again to put yours in its place, or cancel to keep theirs.`;
  }
});

editor.querySelector("[value=cancel]").addEventListener("click", () => editor.close());
editor.querySelector("[value=delete]").addEventListener("click", async () => {
  const { item } = editing;
  try {
    await call("DELETE", `/tasks/${item.dataset.id}`);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    editor.close();
    say("Deleted.");
    showWhenEmpty();
    (next?.querySelector(".title") ?? at("create").elements.title).focus();
  } catch (error) {
    at("editor-message").textContent = error.message;
  }
});

// Begin.

at("filters").addEventListener("change", () => load());
at("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
at("more").addEventListener("click", () => load({ more: true }));
at("again").addEventListener("click", () => begin());

async function begin() {
  try {
    const config = await (await fetch("config.json", { cache: "no-store" })).json();
    api = config.apiUrl.replace(/\/$/, "");
  } catch {
    list.setAttribute("aria-busy", "false");
    at("failure").hidden = false;
    at("failure").firstElementChild.textContent = "This page was not told where its API is (config.json is missing).";
    return;
  }
  await load();
}

begin();
