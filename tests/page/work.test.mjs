// An auditor's and an administrator's work on the demonstration, end to end.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { api, csv, open, search, until, url } from "./browser.mjs";

const rows = (page) => page.locator(".grid tbody tr[data-place]");
const heads = async (page) => (await page.locator(".grid thead th").allInnerTexts()).slice(1);

/** What stands in a column of the rows that are drawn. */
async function column(page, name) {
  const place = (await heads(page)).findIndex((head) => head === name || head.startsWith(`${name} (`));
  assert.ok(place >= 0, `${name} is among ${await heads(page)}`);
  return rows(page).locator(`td:nth-child(${place + 2})`).allInnerTexts();
}

/** Asks for more until that is all, and gives how many events were found. */
async function found(page) {
  const all = page.getByText(/^[\d,]+ events?: that is all of them\.$/);
  const more = page.getByRole("button", { name: "More", exact: true });
  await until("all events are there", async () => {
    if (await more.isVisible()) await more.click();
    return all.isVisible();
  });
  return Number(/^[\d,]+/.exec(await all.innerText())[0].replace(",", ""));
}

const daysAgo = (days) => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

/** Fills a field and leaves it, as somebody does who presses Enter. */
async function fill(page, label, text) {
  await page.getByLabel(label, { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** Asks for a file on the page, and reads it by its link. */
async function downloaded(page, name, prepare) {
  await page.getByRole("button", { name: "Download", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("File name").fill(name);
  await prepare(dialog);
  await dialog.getByRole("button", { name: "Download" }).click();
  const row = page.getByRole("row").filter({ hasText: name });
  await row.getByRole("button", { name: "Links" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: `${name}-0001.csv` }).click()]);
  assert.equal(file.suggestedFilename(), `${name}-0001.csv`);
  const text = await readFile(await file.path());
  await page.keyboard.press("Escape");
  return csv(text);
}

test("two columns and a range are one filter, on screen, in the address and in the file", async () => {
  const page = await open("Ann Auditor", "#/activity/trail");
  const all = await found(page);
  const since = daysAgo(4);
  await fill(page, "Since", since);
  await fill(page, "Filter Actor", "alex");
  await page.getByLabel("Filter Action", { exact: true }).selectOption("=Computer access");
  const expression = 'label eq "Computer access" and (actor.email co "alex" or actor.name co "alex" or actor.id co "alex")';
  await until("the expression is written", async () => (await page.getByLabel(/^Expression/).inputValue()) === expression);
  const expected = await search({ since, filter: expression });
  assert.ok(expected.length > 0 && expected.length < all);
  await until("the rows are there", async () => (await found(page)) === expected.length);
  assert.deepEqual(await column(page, "Description"), expected.map((event) => event.message));
  assert.ok((await column(page, "Actor")).every((actor) => actor === "alex@nikpot.com"));

  // Whoever gets the address sees the same, in the fields as well.
  const shared = await open("Oli Operator", new URL(page.url()).hash);
  await until("the rows are there", async () => (await found(shared)) === expected.length);
  assert.equal(await shared.getByLabel("Filter Actor", { exact: true }).inputValue(), "alex");
  assert.equal(await shared.getByLabel("Filter Action", { exact: true }).inputValue(), "=Computer access");
  assert.equal(await shared.getByLabel("Since", { exact: true }).inputValue(), since);

  // With filters, the file holds what is on screen, column by column and in its order.
  const columns = await heads(page);
  const cells = await Promise.all(columns.map((name) => column(page, name)));
  const filtered = await downloaded(page, "filtered", async (dialog) => assert.ok(await dialog.getByLabel("Include filters").isChecked()));
  assert.equal(filtered.length, expected.length);
  const inFile = { Action: "Label", Description: "Message" };
  columns.forEach((name, place) => {
    const written = filtered.map((row) => row[inFile[name] ?? name]);
    // The page leaves out what the column's head says: the offset, and milliseconds that are none.
    const shown = / \(UTC\)$/.test(name) ? written.map((text) => text.replace("T", " ").replace(/\.000\+00:00$/, "")) : written;
    assert.deepEqual(cells[place].map((text) => text.replace(/\s+late .*$/s, "").trim()), shown, name);
  });

  // Without them, it holds everything.
  await page.goto(`${url}/${new URL(shared.url()).hash}`);
  await found(page);
  const everything = await downloaded(page, "everything", (dialog) => dialog.getByLabel("Include filters").uncheck());
  assert.deepEqual(everything.map((row) => row["Event ID"]).sort(), (await search({})).map((event) => event.id).sort());
});

test("an expression that is written by hand fills the fields above the columns", async () => {
  const page = await open("Ann Auditor", "#/activity/trail");
  await page.getByText("Filter: none").click();
  await page.getByLabel(/^Expression/).fill('state eq "GRANTED" and (target.name eq "orders" or roles pr) and session.username sw "mark"');
  await page.getByRole("button", { name: "Apply" }).click();
  await until("the field is filled", async () => (await page.getByLabel("Filter State", { exact: true }).inputValue()) === "=GRANTED");
  assert.equal(await page.getByLabel("Filter Session Username", { exact: true }).inputValue(), "^mark");
  const count = await found(page);
  assert.equal(count, (await search({ filter: 'state eq "GRANTED"' })).length);
  // What is nobody's field stays when a field is changed.
  await fill(page, "Filter Session Username", "");
  await until("the term is gone", async () => (await page.getByLabel(/^Expression/).inputValue()) === '(target.name eq "orders" or roles pr) and state eq "GRANTED"');
  page.said.expected.push(/status of 400/);
  await page.getByLabel(/^Expression/).fill("state is granted");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("alert").getByText(/filter/).waitFor();
});

test("times are in the service's zone, in this computer's, or in any, and what is typed is meant in it", async () => {
  const page = await open("Ann Auditor", "#/activity/trail", { timezoneId: "Asia/Kolkata" });
  await found(page);
  assert.ok((await heads(page)).includes("Log Timestamp (UTC)"));
  const [first] = await search({});
  const shown = (zone) => new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(new Date(first.occurred_at));
  const topIs = (zone) => until(`times are those of ${zone}`, async () => (await column(page, "Log Timestamp"))[0]?.slice(0, 19) === shown(zone));
  await topIs("UTC");
  await fill(page, "Since", `${daysAgo(3)} 10:00`);
  const count = await found(page);

  await page.getByLabel("Local Timezone").check();
  await until("the head says it", async () => (await heads(page)).includes("Log Timestamp (UTC +5:30)"));
  await topIs("Asia/Kolkata");
  // The same moment by other clocks, and the same rows.
  assert.equal(await page.getByLabel("Since", { exact: true }).inputValue(), `${daysAgo(3)} 15:30:00`);
  assert.equal(await found(page), count);
  // What is typed now is meant by this computer's clocks.
  const [asked] = await Promise.all([
    page.waitForRequest((request) => request.url().endsWith("/v1/events/search") && request.postDataJSON().filter),
    fill(page, "Filter Log Timestamp", `${daysAgo(2)} 05:30..${daysAgo(1)} 05:30`),
  ]);
  assert.equal(asked.postDataJSON().filter, `(occurred_at ge "${daysAgo(2)}T00:00:00.000Z" and occurred_at lt "${daysAgo(1)}T00:00:00.000Z")`);
  assert.equal(asked.postDataJSON().since, `${daysAgo(3)}T10:00:00.000Z`);

  await page.getByRole("combobox", { name: "Time zone" }).selectOption("America/St_Johns");
  await until("the head says it", async () => (await heads(page)).some((head) => /^Log Timestamp \(UTC -[23]:30\)$/.test(head)));
  assert.match(new URL(page.url()).hash, /tz=America%2FSt_Johns/);
  await fill(page, "Since", "2026-02-30");
  await page.getByRole("alert").getByText(/a time that does not exist/).waitFor();
});

test("clocks that change make the column say its zone and each cell its offset", async () => {
  const events = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map((occurred_at, place) => ({
    id: `clocks-${place}`, action: "user.logged_in", occurred_at, actor: { type: "user", email: "clocks@acme.example" },
  }));
  await api("POST", "v1/events", { events });
  const page = await open("Ann Auditor", `#/activity/trail?tz=Europe%2FParis&q=clocks@`);
  assert.equal(await found(page), 2);
  assert.ok((await heads(page)).includes("Log Timestamp (Europe/Paris)"));
  const times = (await column(page, "Log Timestamp")).map((text) => text.split(/\s+late/)[0]);
  assert.deepEqual(times, ["2026-10-25 02:30:00 +01:00", "2026-10-25 02:30:00 +02:00"]);

  // The head is about every column of times: one event whose session lasts beyond the change is enough.
  const session = { id: "over-the-change", scope: "session", roles: ["r"], starts_at: "2026-10-24T12:00:00Z", ends_at: "2026-10-25T12:00:00Z" };
  await api("POST", "v1/events", { id: "clocks-s", action: "session.created", occurred_at: "2026-10-24T12:00:00Z", actor: { type: "user", name: "Mo" }, session });
  await page.goto(`${url}/#/activity/trail?tz=Europe%2FParis&q=over-the-change`);
  await until("it is there", async () => (await column(page, "Session End Timestamp"))[0] === "2026-10-25 13:00:00 +01:00");
});

test("an actor's name stands with the address, and a cell can be typed as it stands", async () => {
  const event = (id, actor) => ({ id, action: "user.logged_in", occurred_at: new Date().toISOString(), actor });
  const events = [
    event("both-names", { type: "user", name: "Kim Both", email: "kim.both@acme.example" }),
    event("both-scm", { type: "scm", name: "both-octocat", email: "octocat@both.example" }),
  ];
  await api("POST", "v1/events", { events });
  const page = await open("Ann Auditor", "#/activity/trail?q=both");
  assert.equal(await found(page), 2);
  const actors = await column(page, "Actor");
  assert.deepEqual(actors.sort(), ["Kim Both\nkim.both@acme.example", "both-octocat (scm)"]);
  await fill(page, "Filter Actor", "both-octocat (scm)");
  assert.equal(await found(page), 1);
  assert.deepEqual(await column(page, "Actor"), ["both-octocat (scm)"]);
  // The field says the same after the address is opened again.
  await page.reload();
  await until("the field is filled", async () => (await page.getByLabel("Filter Actor", { exact: true }).inputValue()) === "both-octocat (scm)");
  await fill(page, "Filter Actor", "Kim Both");
  await until("the other is found", async () => (await column(page, "Actor"))[0]?.startsWith("Kim Both"));
});

test("a session's pop-up tells roles, decisions and justification, and rows about roles are light blue", async () => {
  const page = await open("Ann Auditor", `#/activity/trail?filter=${encodeURIComponent('action eq "session.approved"')}`);
  await found(page);
  const scopes = (await search({ filter: 'action eq "session.approved"' })).map((event) => event.session.scope);
  const grounds = await rows(page).evaluateAll((rows) => rows.map((row) => getComputedStyle(row.querySelector("td")).backgroundColor));
  scopes.slice(0, grounds.length).forEach((scope, place) => assert.equal(grounds[place] === "rgb(227, 242, 253)", scope === "role", `row ${place}`));

  const id = rows(page).first().getByRole("button", { name: /^\d+$/ });
  await id.hover();
  const popup = page.getByRole("dialog", { name: /^Session \d+$/ });
  for (const text of ["role1", "role3", "john", "admin", "Mark", "Correct a wrong price in last night's import"]) await popup.getByText(text).first().waitFor();
  await page.keyboard.press("Escape");
  await popup.waitFor({ state: "detached" });
  // By keyboard as well, and to the whole story.
  await id.press("Enter");
  await popup.getByRole("link", { name: "Full history" }).click();
  await page.getByRole("heading", { level: 1, name: /Session \d+/ }).waitFor();
});

test("an event is shown whole, and can be copied as it is", async () => {
  const page = await open("Ann Auditor", "#/activity/trail", { permissions: ["clipboard-read", "clipboard-write"] });
  await found(page);
  await rows(page).first().focus();
  await page.keyboard.press("ArrowDown");
  const focused = () => page.evaluate(() => document.activeElement.dataset.place);
  await until("the next row is focused", async () => (await focused()) === "1");
  await page.keyboard.press("Enter");
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("button", { name: "Copy", exact: true }).click();
  await page.getByText("Copied.").waitFor();
  const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
  assert.deepEqual(copied, (await search({}))[1]);
  await page.keyboard.press("Escape");
  await drawer.waitFor({ state: "detached" });
  // The keyboard is where it was.
  assert.equal(await focused(), "1");
});

test("a press of Enter opens a row and does nothing to what it opened", async () => {
  const page = await open("Ann Auditor", "#/activity/trail");
  await found(page);
  await rows(page).first().focus();
  // The two halves of a press, as a slow machine has them: what the first opens is there before the second.
  const keyboard = await page.context().newCDPSession(page);
  const enter = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13 };
  await keyboard.send("Input.dispatchKeyEvent", { type: "rawKeyDown", ...enter });
  const close = page.getByRole("dialog").getByRole("button", { name: "Close" });
  await until("its first button is focused", () => close.evaluate((it) => it === document.activeElement));
  await keyboard.send("Input.dispatchKeyEvent", { type: "char", text: "\r", ...enter });
  await keyboard.send("Input.dispatchKeyEvent", { type: "keyUp", ...enter });
  await page.getByRole("dialog").getByRole("button", { name: "Copy", exact: true }).click();
});

test("dragging over the histogram selects a range", async () => {
  const page = await open("Ann Auditor", `#/activity/trail?since=${daysAgo(6)}`);
  const all = await found(page);
  await page.getByText(/events, counted by the hour/).waitFor();
  const over = await page.locator(".chart .u-over").boundingBox();
  const at = (part) => [over.x + over.width * part, over.y + over.height / 2];
  await page.mouse.move(...at(0.4));
  await page.mouse.down();
  await page.mouse.move(...at(0.5), { steps: 4 });
  await page.mouse.move(...at(0.6), { steps: 4 });
  await page.mouse.up();
  await until("a range is set", async () => /until=/.test(page.url()));
  await until("fewer rows are there", async () => (await found(page)) < all);
  const count = await found(page);
  const { params } = await page.evaluate(() => ({ params: Object.fromEntries(new URLSearchParams(location.hash.split("?")[1])) }));
  assert.ok(count > 0);
  assert.equal(count, (await search({ since: params.since.replace(" ", "T"), until: params.until.replace(" ", "T") })).length);
  await page.getByText(new RegExp(`^${count} events?, counted by the`)).waitFor();
});

test("the histogram draws nothing where nothing happened", async () => {
  const at = (hours) => new Date(Date.now() - hours * 3_600_000).toISOString();
  const events = [30, 26].map((hours) => ({ id: `two-bars-${hours}`, action: "user.logged_in", occurred_at: at(hours), actor: { type: "user", email: "two-bars@acme.example" } }));
  await api("POST", "v1/events", { events });
  const page = await open("Ann Auditor", `#/activity/trail?since=${daysAgo(6)}&q=two-bars`);
  await page.getByText(/^2 events, counted by the hour\./).waitFor();
  // Columns of the canvas that hold a bar, in runs: two bars, as wide as one hour each.
  const runs = await page.locator(".chart canvas").evaluate((canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const bar = document.body.appendChild(document.createElement("i"));
    bar.style.color = "var(--accent)";
    const color = getComputedStyle(bar).color.match(/\d+/g).map(Number);
    bar.remove();
    const isBar = (x, y) => color.every((part, place) => Math.abs(data[(y * width + x) * 4 + place] - part) < 8);
    const runs = [];
    for (let x = 0, was = false; x < width; x += 1) {
      let is = false;
      for (let y = 0; y < height && !is; y += 1) is = isBar(x, y);
      if (is && !was) runs.push(0);
      if (is) runs[runs.length - 1] += 1;
      was = is;
    }
    return { widths: runs, width };
  });
  assert.equal(runs.widths.length, 2, JSON.stringify(runs));
  for (const width of runs.widths) assert.ok(width < runs.width / 100, JSON.stringify(runs));
});

test("what is recorded meanwhile shows by itself, and what is late says so", async () => {
  const page = await open("Ann Auditor", "#/activity/trail?q=live-tail");
  await page.getByText("No event matches.").waitFor();
  await page.getByRole("button", { name: "Live" }).click();
  const event = (id, minutes) => ({ id, action: "user.logged_in", occurred_at: new Date(Date.now() - minutes * 60_000).toISOString(), actor: { type: "user", email: "live-tail@acme.example" } });
  // The feed is followed from when it was first asked.
  await page.waitForResponse((answer) => answer.url().includes("/v1/feed"));
  await api("POST", "v1/events", { events: [event("live-1", 0), event("live-2", 200)] });
  await until("both are there", async () => (await rows(page).count()) === 2);
  const [first, second] = await column(page, "Log Timestamp");
  assert.ok(!first.includes("late"), first);
  assert.match(second, /late 3 h 20 min/);
});

test("what was recorded between looking and following is there, and what is behind the last row comes with it", async () => {
  const page = await open("Ann Auditor", "#/activity/trail?q=gap@");
  await page.getByText("No event matches.").waitFor();
  const event = (id, minutes) => ({ id, action: "user.logged_in", occurred_at: new Date(Date.now() - minutes * 60_000).toISOString(), actor: { type: "user", email: "gap@acme.example" } });
  await api("POST", "v1/events", event("gap-1", 1));
  // Beyond what the feed stays behind.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await page.getByRole("button", { name: "Live" }).click();
  await until("it is there", async () => (await rows(page).count()) === 1);
  await api("POST", "v1/events", { events: [event("gap-2", 0), event("gap-3", 600)] });
  await until("all are there", async () => (await rows(page).count()) === 3);
  // A feed that does not answer is said to be silent, and gone on with.
  page.said.expected.push(/status of 503/);
  await page.route(/\/v1\/feed/, (route) => route.fulfill({ status: 503, body: "{}" }));
  await page.getByRole("alert").getByText(/^Live: the service has not responded/).waitFor();
  await api("POST", "v1/events", event("gap-4", 0));
  await page.unrouteAll();
  await until("what was missed is there", async () => (await rows(page).count()) === 4);
  await page.getByRole("alert").waitFor({ state: "detached" });
});

test("an address with times means the same to a reader in another zone", async () => {
  const page = await open("Ann Auditor", "#/activity/trail", { timezoneId: "Asia/Tokyo" });
  await page.getByLabel("Local Timezone").check();
  await until("it is remembered", async () => (await heads(page)).includes("Log Timestamp (UTC +9)"));
  const [request] = await Promise.all([
    page.waitForRequest((request) => request.url().endsWith("/v1/events/search") && request.postDataJSON().until),
    page.goto(`${url}/#/activity/trail?since=${daysAgo(3)}&until=${daysAgo(2)}`),
  ]);
  assert.deepEqual([request.postDataJSON().since, request.postDataJSON().until], [`${daysAgo(3)}T00:00:00.000Z`, `${daysAgo(2)}T00:00:00.000Z`]);
});

test("a field that cannot be read counts for nothing, and nothing is downloaded while the range is unreadable", async () => {
  const page = await open("Ann Auditor", "#/activity/trail");
  await fill(page, "Filter Log Timestamp", "yesterday");
  await fill(page, "Filter Actor", "alex");
  await page.getByRole("alert").getByText(/Log Timestamp: “yesterday” is not a time/).waitFor();
  await fill(page, "Since", "yesterday");
  await until("it cannot be downloaded", () => page.getByRole("button", { name: "Download", exact: true }).isDisabled());
  assert.equal(await page.getByText("No event matches.").count(), 0, "nothing was looked for");
});

test("thousands of rows come while scrolling, each once", async () => {
  const at = Date.now() - 20 * 86_400_000;
  for (let batch = 0; batch < 3; batch += 1) {
    const events = Array.from({ length: 400 }, (_, n) => ({
      id: `many-${batch}-${n}`, action: "user.logged_in", occurred_at: new Date(at - (batch * 400 + n) * 1000).toISOString(), actor: { type: "user", email: "many@acme.example" },
    }));
    await api("POST", "v1/events", { events });
  }
  const page = await open("Ann Auditor", "#/activity/trail?q=many@");
  await rows(page).first().waitFor();
  const seen = new Set();
  await until("the end is reached", async () => {
    for (const id of await rows(page).getByRole("button", { name: /^Open event/ }).evaluateAll((buttons) => buttons.map((button) => button.ariaLabel))) seen.add(id);
    await page.locator(".grid").evaluate((grid) => grid.scrollBy(0, 450));
    return seen.size === 1200;
  });
  assert.equal(await found(page), 1200);
  // What is not in view is not drawn.
  assert.ok((await rows(page).count()) < 80);
});

test("a window is extended and ended with a reason, and the trail says by whom", async () => {
  const page = await open("Oli Operator", "#/windows");
  const account = "msptech-patching@NETORGFT11060369.onmicrosoft.com";
  const row = page.getByRole("row").filter({ hasText: account });
  await row.getByRole("button", { name: /^Extend/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Hours").fill("10");
  await dialog.getByLabel("Minutes").fill("0");
  await dialog.getByLabel("Reason").fill("The patches are many");
  await dialog.getByRole("button", { name: "Extend" }).click();
  await dialog.waitFor({ state: "detached" });
  const one = async () => (await api("GET", `v1/windows?account=${encodeURIComponent(account)}`)).windows[0];
  const { starts_at, ends_at } = await one();
  assert.equal(Date.parse(ends_at) - Date.parse(starts_at), 10 * 3_600_000);

  await row.getByRole("button", { name: /^End now/ }).click();
  // Nothing is ended without a reason.
  await dialog.getByRole("button", { name: "End now" }).click();
  assert.equal(await dialog.getByLabel("Reason").evaluate((field) => field.validity.valueMissing), true);
  await dialog.getByLabel("Reason").fill("Done <b>early</b>");
  await dialog.getByRole("button", { name: "End now" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.ok(Date.parse((await one()).ends_at) <= Date.now());
  // Its portal says that it did it; the window leaves the list.
  const disabled = { id: "patching-done", action: "entra.account.disabled", occurred_at: new Date().toISOString(), actor: { type: "system" }, target: { id: "entra-365", name: "Entra 365 onmicrosoft" }, account: { name: account } };
  await api("POST", "v1/events", disabled);
  await row.waitFor({ state: "detached" });

  await page.goto(`${url}/#/activity/trail?filter=${encodeURIComponent('action sw "window.e"')}`);
  await page.getByText(`operator@acme.example ended the window of account ${account} in application Entra 365 onmicrosoft. Reason: Done <b>early</b>`).first().waitFor();
  await page.getByText(/operator@acme\.example extended the window .* Reason: The patches are many/).first().waitFor();
});

test("all of a person ends by an order, which says whom it ended", async () => {
  const names = ["msp-left-1", "msp-left-2"];
  const requested = (name) => ({ action: "entra.account.requested", occurred_at: new Date().toISOString(), actor: { type: "user", email: "leaver@nikpot.com" }, target: { name: "Elsewhere" }, account: { name }, window: { duration: "PT1H" } });
  await api("POST", "v1/events", { events: names.map(requested) });
  const page = await open("Oli Operator", "#/windows");
  await page.getByRole("button", { name: "End all windows of a person" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Person").fill("leaver@nikpot.com");
  await dialog.getByLabel("Reason").fill("Left the company");
  await dialog.getByRole("button", { name: "End all" }).click();
  await page.getByRole("heading", { name: "Order to end windows" }).waitFor();
  await page.getByText("2 windows ended, 2 when the order was given").waitFor();
  for (const name of names) await page.getByRole("link", { name }).waitFor();
  await page.getByText("Left the company").waitFor();
  for (const name of names) {
    const disabled = { action: "entra.account.disabled", occurred_at: new Date().toISOString(), actor: { type: "system" }, target: { name: "Elsewhere" }, account: { name } };
    await api("POST", "v1/events", disabled);
  }
});

test("Home says unknown while it does not know, and never that nothing is overdue", async () => {
  const page = await open("Ann Auditor", "#/windows");
  await page.route(/\/v1\/windows\?/, (route) => route.fulfill({ json: { windows: [], next: "there-is-more" } }));
  await page.goto(`${url}/#/`);
  const card = page.getByRole("link", { name: /^Overdue windows/ });
  await card.getByText("unknown").waitFor();
  assert.equal(await page.getByText(/No window is overdue/).count(), 0);
  await page.unroute(/\/v1\/windows\?/);
  page.said.expected.push(/503/);
  await page.route(/\/v1\/windows\?/, (route) => route.fulfill({ status: 503, json: { message: "Service Unavailable" } }));
  await page.reload();
  await card.getByText("unknown").waitFor();
  assert.equal(await page.getByText(/No window is overdue/).count(), 0);
});

test("on a telephone each fact has its name, and what failed says so", async () => {
  const failed = { id: "failed-attempt", action: "entra.credentials.accessed", outcome: "failure", reason: "The vault was locked", occurred_at: new Date().toISOString(), actor: { type: "user", email: "failed@acme.example" }, target: { name: "Vault" } };
  await api("POST", "v1/events", failed);
  const page = await open("Ann Auditor", "#/", { viewport: { width: 390, height: 844 } });
  const latest = page.getByRole("region", { name: "Latest events" }).getByRole("row").filter({ hasText: "Vault" });
  await latest.getByText("failed", { exact: true }).waitFor();
  const names = (cells) => cells.map((cell) => getComputedStyle(cell, "::before").content);
  assert.deepEqual(await latest.getByRole("cell").evaluateAll(names), ['"Time"', '"Who"', '"What"']);
  for (const cell of await latest.getByRole("cell").all()) assert.notEqual((await cell.innerText()).trim(), "");
  await page.goto(`${url}/#/reports/access?since=all`);
  const cells = page.getByRole("region", { name: /./ }).locator("tbody td");
  await cells.first().waitFor();
  const labels = new Set(await cells.evaluateAll((cells) => cells.map((cell) => cell.dataset.label)));
  assert.ok(labels.has("Whole row") && ![...labels].some((label) => label.includes("object")), [...labels].join());
  await page.goto(`${url}/#/activity/trail?q=failed%40acme.example`);
  await rows(page).first().getByText("failed", { exact: true }).waitFor();
  await page.goto(`${url}/#/activity/trail?event=failed-attempt`);
  await page.getByRole("dialog").getByText("failed", { exact: true }).first().waitFor();
});

test("an overdue window says so, and who reads alone can change nothing", async () => {
  const page = await open("Ann Auditor", "#/windows");
  const row = page.getByRole("row").filter({ hasText: "msptech-migration@" });
  await row.getByText(/^overdue by /).waitFor();
  assert.equal(await page.getByRole("button", { name: /^(Extend|End)/ }).count(), 0);
  const held = page.getByRole("row").filter({ hasText: "msptech-helpdesk@" });
  await held.getByText("alex@nikpot.com").waitFor();
  await held.getByText("priya@nikpot.com").waitFor();
});

test("a finding is decided where it stands, and its history says why", async () => {
  const { findings } = await api("GET", "v1/findings?state=open&rule=justification.insufficient");
  const [finding] = findings;
  const page = await open("Oli Operator", `#/findings/${encodeURIComponent(finding.id)}`);
  await page.getByRole("button", { name: "Resolve finding" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("radio", { name: /^Accepted/ }).check();
  await dialog.getByLabel("Reason").fill("The ticket says it all");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("operator@acme.example").first().waitFor();
  await page.getByText(/The ticket says it all/).first().waitFor();
  const now = await api("GET", `v1/findings/${encodeURIComponent(finding.id)}`);
  assert.deepEqual([now.state, now.dispositions.at(-1).disposition, now.dispositions.at(-1).reason], ["dispositioned", "accepted", "The ticket says it all"]);
});

test("a report is run by its form, and its file holds its rows", async () => {
  const account = "msptech-sam@NETORGFT11060369.onmicrosoft.com";
  const page = await open("Ann Auditor", "#/reports/access");
  await page.getByLabel("Account").fill(account);
  await page.getByRole("button", { name: /^(Run|Show)/ }).click();
  const { rows: expected } = await api("GET", `v1/reports/access?account=${account}&limit=1000`);
  assert.ok(expected.length > 0);
  await until("its rows are there", async () => (await page.getByRole("main").locator("tbody tr").count()) === expected.length);
  await page.getByRole("button", { name: /^Download/ }).click();
  await page.getByRole("dialog").getByLabel("File name").fill("report");
  await page.getByRole("dialog").getByRole("button", { name: "Download" }).click();
  await page.getByRole("row").filter({ hasText: "report" }).first().getByRole("button", { name: "Links" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "report-0001.csv" }).click()]);
  assert.deepEqual(csv(await readFile(await file.path())).map((row) => row["Access ID"]), expected.map((row) => row.id));
});

test("ranges in words are what the zone's clocks make of them", async () => {
  const page = await open("Ann Auditor", "#/");
  const cases = [
    ["today", "2026-03-29T22:30:00Z", "2026-03-29T22:00:00.000Z", undefined],
    // The day on which the clocks change is an hour shorter.
    ["yesterday", "2026-03-29T22:30:00Z", "2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"],
    ["this week", "2026-11-22T12:00:00Z", "2026-11-15T23:00:00.000Z", undefined],
    ["last week", "2026-11-22T12:00:00Z", "2026-11-08T23:00:00.000Z", "2026-11-15T23:00:00.000Z"],
    ["this month", "2026-11-22T12:00:00Z", "2026-10-31T23:00:00.000Z", undefined],
    ["last month", "2026-11-22T12:00:00Z", "2026-09-30T22:00:00.000Z", "2026-10-31T23:00:00.000Z"],
    ["this quarter", "2026-11-22T12:00:00Z", "2026-09-30T22:00:00.000Z", undefined],
    ["last quarter", "2026-02-01T12:00:00Z", "2025-09-30T22:00:00.000Z", "2025-12-31T23:00:00.000Z"],
    ["this year", "2026-12-31T23:30:00Z", "2026-12-31T23:00:00.000Z", undefined],
    ["last year", "2026-12-31T22:30:00Z", "2024-12-31T23:00:00.000Z", "2025-12-31T23:00:00.000Z"],
    ["last 12 hours", "2026-11-22T12:00:00Z", "2026-11-22T00:00:00.000Z", undefined],
    ["last 2 days", "2026-11-22T12:00:00Z", "2026-11-20T12:00:00.000Z", undefined],
    // To the same time of day, whatever the clocks did.
    ["last 2 days", "2026-10-26T12:00:00Z", "2026-10-24T11:00:00.000Z", undefined],
  ];
  const resolved = await page.evaluate(async (cases) => {
    const { relativeRange } = await import("/page/time.js");
    return cases.map(([words, now]) => relativeRange(words, "Europe/Paris", Temporal.Instant.from(now)));
  }, cases);
  assert.deepEqual(resolved.map(({ since, until }) => [since, until]), cases.map(([, , since, until]) => [since, until]));
  assert.deepEqual(await page.evaluate(async () => (await import("/page/time.js")).relativeRange("next week", "UTC")), null);
});

/** Opens the menu of saved searches. */
const openSaved = (page) => page.getByText("Saved", { exact: true }).click();

test("a search is saved with a range in words, and come back to by the menu", async () => {
  const page = await open("Ann Auditor", "#/activity/trail");
  // That an id is free is asked.
  page.said.expected.push(/status of 404/);
  await found(page);
  await fill(page, "Filter Actor", "alex");
  await fill(page, "Search in everything", "nikpot");
  const expression = 'actor.email co "alex" or actor.name co "alex" or actor.id co "alex"';
  await until("the address says it", () => page.url().includes("nikpot"));
  const dialog = page.getByRole("dialog");
  for (const id of ["alex-s-days", "alex-s-days-2"]) {
    await openSaved(page);
    await page.getByRole("button", { name: "Save this search …" }).click();
    await dialog.getByLabel("Name").fill("Alex’s days");
    await dialog.getByLabel("Range").selectOption("Last … days");
    await dialog.getByRole("spinbutton", { name: "Days" }).fill("3");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    const { name, q, filter, range, columns, tz } = await api("GET", `v1/saved/${id}`);
    assert.deepEqual({ name, q, filter, range, tz }, { name: "Alex’s days", q: "nikpot", filter: `(${expression})`, range: "last 3 days", tz: "UTC" });
    const inFile = { Action: "Label", Description: "Message" };
    assert.deepEqual(columns, (await heads(page)).map((head) => head.replace(/ \(UTC\)$/, "")).map((head) => inFile[head] ?? head));
  }

  await page.goto(`${url}/#/activity/trail`);
  await until("nothing is filtered", async () => (await page.getByLabel("Filter Actor", { exact: true }).inputValue()) === "");
  await openSaved(page);
  await page.getByRole("link", { name: /^Alex’s days/ }).first().click();
  await until("the field is filled", async () => (await page.getByLabel("Filter Actor", { exact: true }).inputValue()) === "alex");
  const since = await page.getByLabel("Since", { exact: true }).inputValue();
  assert.ok(Math.abs(Date.parse(`${since.replace(" ", "T")}Z`) - (Date.now() - 3 * 86_400_000)) < 600_000, since);
  assert.equal(await found(page), (await search({ since: `${since.replace(" ", "T")}Z`, q: "nikpot", filter: expression })).length);
  for (const id of ["alex-s-days", "alex-s-days-2"]) await api("DELETE", `v1/saved/${id}`);
});

test("a report that is saved with a schedule stands in the settings with its next run, runs when asked to, and is changed and deleted there", async () => {
  const page = await open("Ann Auditor", "#/reports/access?since=all");
  page.said.expected.push(/status of 404/);
  await page.getByRole("button", { name: "Save this report …" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("Access, weekly");
  await dialog.getByLabel("Range").selectOption("This month");
  await dialog.getByLabel("When it runs").selectOption("Every week");
  await dialog.getByRole("combobox", { name: "On", exact: true }).selectOption("Friday");
  await dialog.getByLabel("At", { exact: true }).fill("06:30");
  await dialog.getByText("Nobody can get a message").waitFor();
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText(/^Saved\. It runs next at/).waitFor();

  const saved = await api("GET", "v1/saved/access-weekly");
  const next = new Date(saved.next_run_at);
  assert.ok(next > new Date() && next.getUTCDay() === 5 && saved.next_run_at.includes("T06:30:00"), saved.next_run_at);
  await page.getByRole("link", { name: "Saved and scheduled" }).click();
  const row = page.getByRole("row").filter({ has: page.getByRole("button", { name: "Delete: Access, weekly" }) });
  const shown = saved.next_run_at.slice(0, 19).replace("T", " ");
  for (const text of ["Report: Who accessed what, when, and why?", "This month", "Every Friday at 06:30, UTC", "no recipients", shown, "auditor@acme.example"]) await row.getByText(text).waitFor();
  await page.getByRole("region", { name: "What is due" }).getByRole("row").filter({ hasText: shown }).getByRole("link", { name: "Access, weekly" }).waitFor();

  await row.getByRole("button", { name: /^Run now/ }).click();
  await page.getByText("The file is being created.").waitFor();
  await row.getByRole("button", { name: /^Runs/ }).click();
  await dialog.getByText("asked for").waitFor();
  await dialog.getByText("ready").waitFor();
  await dialog.getByRole("link", { name: "Download" }).click();
  const file = page.locator("tr[aria-current]");
  await file.getByText("Report access").waitFor();
  const named = new URLSearchParams(new URL(page.url()).hash.split("?")[1]).get("export");
  assert.equal((await api("GET", "v1/saved/access-weekly/runs")).runs[0].export.id, named);
  await file.getByRole("button", { name: "Links" }).click();
  const [taken] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "access-weekly-0001.csv" }).click()]);
  assert.ok(csv(await readFile(await taken.path())).length > 0);

  await page.goto(`${url}/#/settings/saved`);
  await row.getByRole("button", { name: /^Change/ }).click();
  assert.equal(await dialog.getByLabel("Range").inputValue(), "this month");
  await dialog.getByLabel("Range").selectOption("Yesterday");
  await dialog.getByLabel("When it runs").selectOption("Only when someone starts it");
  await dialog.getByRole("button", { name: "Save" }).click();
  await row.getByText("Yesterday").waitFor();
  await row.getByRole("link", { name: "Access, weekly" }).click();
  await page.getByText(/^From \d{4}-\d\d-\d\d on, until/).waitFor();
  await page.goBack();
  await row.getByRole("button", { name: /^Delete/ }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await row.waitFor({ state: "detached" });
});

test("a review that repeats is planned where one is opened, and stands with its next opening until it is stopped", async () => {
  const page = await open("Ida Admin", "#/reviews");
  const dialog = page.getByRole("dialog");
  const row = page.getByRole("region", { name: "Reviews that repeat" }).getByRole("row").filter({ hasText: "Prices, each quarter" });
  await page.getByRole("button", { name: "Open a review" }).click();
  await dialog.getByLabel("How often").selectOption("every quarter");
  await dialog.getByRole("textbox", { name: /^Name/ }).fill("Prices, each quarter");
  await dialog.getByLabel(/^Only this target/).fill("prices");
  await dialog.getByRole("radio", { name: /^A sample/ }).check();
  // The page looks whether the plan's id is free.
  page.said.expected.push(/status of 404/);
  await dialog.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByText(/^The review repeats\. The next one is opened at/).waitFor();
  await row.getByText("every quarter").waitFor();
  for (const text of ["a sample of 25, due after 14 days", "prices"]) await row.getByText(text, { exact: true }).waitFor();
  const plan = await api("GET", "v1/review-plans/prices-each-quarter");
  assert.deepEqual([plan.every, plan.target, plan.sample, plan.due_days], ["quarter", "prices", { size: 25 }, 14]);
  const shown = plan.next_run_at.slice(0, 19).replace("T", " ");
  await row.getByText(shown).waitFor();
  await row.getByRole("link", { name: /^Its reviews/ }).click();
  await page.getByText("The plan prices-each-quarter has opened no review yet.").waitFor();
  await page.getByRole("button", { name: "Show all reviews" }).click();
  await row.getByRole("button", { name: /^Stop repeating/ }).click();
  await dialog.getByRole("button", { name: "Stop repeating" }).click();
  await row.waitFor({ state: "detached" });
});

test("who may only read may save, and nobody changes what others saved but an administrator", async () => {
  await api("PUT", "v1/saved/of-it", { name: "Of IT", q: "alex" });
  const page = await open("Ann Auditor", "#/settings/saved?q=of-it");
  page.said.expected.push(/status of 403/);
  await page.getByRole("button", { name: "Delete: Of IT" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("alert").waitFor();
  await api("DELETE", "v1/saved/of-it");
});

test("a download that an address names comes first, wherever it stands in the list", async () => {
  const { id } = await api("POST", "v1/exports", { q: "alex", file_name: "named-by-an-address" });
  const page = await open("Ann Auditor", "#/");
  // As if there were a page of others before it.
  await page.route(/\/v1\/exports\?/, (route) => route.fulfill({ status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify({ exports: [], next: null }) }));
  await page.goto(`${url}/#/activity/downloads?export=${id}`);
  await page.locator("tr[aria-current]").getByText("named-by-an-address").waitFor();
  await page.getByRole("status").getByText(/^named-by-an-address: /).waitFor();
  page.said.expected.push(/status of 404/);
  await page.goto(`${url}/#/activity/downloads?export=nothing`);
  await page.getByText("This does not exist").waitFor();
});

test("a stream is added, tested, sent again and deleted; one whose target takes nothing says why", async () => {
  const page = await open("Ida Admin", "#/settings/streams");
  const dialog = page.getByRole("dialog");
  const row = (id) => page.getByRole("row").filter({ has: page.getByRole("button", { name: `Delete: stream ${id}` }) });
  await page.getByRole("button", { name: "Add a stream" }).click();
  await dialog.getByRole("textbox", { name: /^Id/ }).fill("to-the-lake");
  await dialog.getByRole("radio", { name: /own bucket/ }).check();
  await dialog.getByLabel("Events are written").selectOption("ocsf");
  await dialog.getByLabel(/^Filter/).fill('action sw "session."');
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.waitFor({ state: "detached" });
  for (const text of ["OCSF", 'action sw "session."', "running"]) await row("to-the-lake").getByText(text).waitFor();
  await row("to-the-lake").getByRole("button", { name: /^Test/ }).click();
  await dialog.getByText("The target accepted it.").waitFor();
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: "Add a stream" }).click();
  await dialog.getByRole("textbox", { name: /^Id/ }).fill("to-nowhere");
  await dialog.getByLabel("Address", { exact: true }).fill("http://127.0.0.1:1/");
  await dialog.getByLabel("Name of secret 1").fill("env:JIT_AUDIT_SECRET_NOWHERE");
  await dialog.getByLabel("Begins").selectOption("oldest");
  await dialog.getByRole("button", { name: "Add" }).click();
  await dialog.waitFor({ state: "detached" });
  const failing = await until("it fails", async () => {
    const stream = await api("GET", "v1/streams/to-nowhere");
    return stream.state !== "running" && stream;
  });
  await row("to-nowhere").getByText(failing.error).waitFor();
  await row("to-nowhere").getByText(/^(failing|paused)$/).waitFor();
  await row("to-nowhere").getByRole("button", { name: /^Test/ }).click();
  await dialog.getByRole("alert").getByText("The target did not accept it").waitFor();
  await page.keyboard.press("Escape");

  await row("to-the-lake").getByRole("button", { name: /^Replay/ }).click();
  await dialog.getByLabel(/^Recorded since/).fill("the day before");
  await dialog.getByRole("button", { name: "Send again" }).click();
  await dialog.getByRole("alert").getByText(/is not a time/).waitFor();
  await dialog.getByLabel(/^Recorded since/).fill(daysAgo(20));
  await dialog.getByRole("button", { name: "Send again" }).click();
  await dialog.waitFor({ state: "detached" });
  await until("events were sent", async () => (await api("GET", "v1/streams/to-the-lake")).sent > 0);
  assert.equal((await api("GET", "v1/streams/to-the-lake")).replays, 1);

  await row("to-nowhere").getByRole("button", { name: /^Change/ }).click();
  await dialog.getByRole("button", { name: "Another name" }).click();
  await dialog.getByLabel("Name of secret 2").fill("env:JIT_AUDIT_SECRET_OTHER");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.waitFor({ state: "detached" });
  assert.deepEqual((await api("GET", "v1/streams/to-nowhere")).target.secrets, ["env:JIT_AUDIT_SECRET_NOWHERE", "env:JIT_AUDIT_SECRET_OTHER"]);
  // Who reads alone sees it all, and can change nothing.
  const reader = await open("Ann Auditor", "#/settings/streams");
  await reader.getByRole("row").filter({ hasText: "to-nowhere" }).getByText(failing.error).waitFor();
  assert.equal(await reader.getByRole("main").getByRole("button").count(), 0);
  for (const id of ["to-nowhere", "to-the-lake"]) {
    await row(id).getByRole("button", { name: /^Delete/ }).click();
    await dialog.getByText(/position is lost/).waitFor();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await row(id).waitFor({ state: "detached" });
  }
});
