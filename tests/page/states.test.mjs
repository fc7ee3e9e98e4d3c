// What the page says when something is not as it should be, and what it does with texts that are meant to harm.

import assert from "node:assert/strict";
import { test } from "node:test";

import { api, goTo, open, until, url } from "./browser.mjs";

const VIEWS = ["#/", "#/activity/trail", "#/activity/sessions", "#/activity/downloads", "#/windows", "#/findings", "#/reviews", "#/reports", "#/settings/streams", "#/settings/saved"];

/** Answers what the API is asked as a test wants it. */
const answer = (page, path, status, body, headers = {}) =>
  page.route((asked) => asked.pathname.startsWith(path), (route) => route.fulfill({ status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) }));

test("who is not signed in is led to the issuer, and back to where they wanted to go", async () => {
  const page = await open(null, "#/activity/trail?q=alex");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(/\/dev\/authorize\?/);
  await page.getByText("Ann Auditor").click();
  await page.getByRole("heading", { level: 1, name: "Audit trail" }).waitFor();
  assert.equal(new URL(page.url()).hash, "#/activity/trail?q=alex");
  assert.equal(new URL(page.url()).search, "", "the code is gone from the address");
  // A reload does not sign out, signing out does.
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Audit trail" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
});

test("a code that nobody here asked for is not taken", async () => {
  const page = await open(null);
  await page.goto(`${url}/?code=stolen&state=made-up`);
  await page.getByRole("alert").getByText(/No sign-in was started in this tab/).waitFor();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
});

test("a sign-in that has ended says so, keeps the view, and goes on after another", async () => {
  const page = await open(null, "#/activity/trail");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Another person").click();
  await page.getByLabel("E-mail address").fill("short@acme.example");
  await page.getByLabel("Duration of the sign-in in seconds").fill("4");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Audit trail" }).waitFor();
  await page.locator(".grid tbody tr[data-place]").first().waitFor();
  await page.getByRole("alert").getByText(/Your sign-in has ended/).waitFor();
  assert.ok((await page.locator(".grid tbody tr[data-place]").count()) > 0, "what is shown stays");
  await page.getByRole("button", { name: "Sign in again" }).first().click();
  await page.getByText("Ann Auditor").click();
  await page.getByRole("heading", { level: 1, name: "Audit trail" }).waitFor();
});

test("a browser that knows no Temporal is given one", async () => {
  const page = await open(null);
  await page.addInitScript(() => delete globalThis.Temporal);
  await page.goto(`${url}/#/activity/trail`);
  await page.reload();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Ann Auditor").click();
  await page.locator(".grid tbody tr[data-place] time").first().waitFor();
  await page.getByRole("combobox", { name: "Time zone" }).selectOption("America/Caracas");
  await page.getByText("Log Timestamp (UTC -4)").waitFor();
});

test("a token that the API does not take any more ends the sign-in", async () => {
  const page = await open("Ann Auditor", "#/findings");
  page.said.expected.push(/status of 401/);
  await answer(page, "/v1/", 401, { message: "Unauthorized" });
  await page.getByRole("link", { name: "Windows" }).click();
  await page.getByRole("button", { name: "Sign in again" }).first().waitFor();
});

test("who may nothing is told so", async () => {
  const page = await open(null);
  page.said.expected.push(/status of 403/);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("Gil Guest").click();
  await page.getByText(/permission|may not/i).first().waitFor();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
});

test("who has several tenants switches between them, and sees one at a time", async () => {
  const page = await open("Sam Support", "#/activity/trail");
  await page.locator(".grid tbody tr[data-place]").first().waitFor();
  await page.getByLabel("Tenant").selectOption("fabrikam");
  await page.getByRole("heading", { level: 1, name: "What needs attention" }).waitFor();
  await page.getByRole("link", { name: "Audit trail" }).first().click();
  await page.getByText("Nothing was recorded yet.").waitFor();
  await page.reload();
  await page.getByText("Nothing was recorded yet.").waitFor();
});

test("no network, and a service that has a problem, are said in every view, and gone when tried again", async () => {
  const page = await open("Ida Admin", "#/");
  page.said.expected.push(/Failed to load resource|ERR_INTERNET_DISCONNECTED|status of 50/);
  for (const view of VIEWS.filter((view) => view !== "#/")) {
    await page.goto(`${url}/${view}`);
    await page.getByRole("main").getByRole("heading", { level: 1 }).waitFor();
  }
  for (const view of VIEWS) {
    await page.goto(`${url}/#/nowhere`);
    await answer(page, "/v1/", 500, { title: "Internal Server Error", status: 500, detail: "something broke inside" });
    await page.goto(`${url}/${view}`);
    await until(`${view} says what is wrong`, () => page.getByRole("main").getByText(/something broke inside/).first().isVisible());
    await page.unrouteAll();
    await page.getByRole("button", { name: "Try again" }).first().click();
    await until(`${view} is back`, async () => (await page.getByRole("button", { name: "Try again" }).count()) < 6);
  }
  await page.goto(`${url}/#/nowhere`);
  await page.context().setOffline(true);
  await page.goto(`${url}/#/activity/trail`);
  await page.getByText("The service could not be reached").first().waitFor();
  await page.context().setOffline(false);
  for (const button of (await page.getByRole("button", { name: "Try again" }).all()).reverse()) await button.click();
  await page.locator(".grid tbody tr[data-place]").first().waitFor();
});

test("an answer that tells to wait is waited for, and what is wrong is said in the API's words", async () => {
  const page = await open("Ann Auditor", "#/");
  page.said.expected.push(/status of (503|400|404)/);
  let asked = 0;
  await page.route((to) => to.pathname === "/v1/findings", (route) => ((asked += 1) === 1 ? route.fulfill({ status: 503, headers: { "Retry-After": "1" }, body: "{}" }) : route.fallback()));
  await page.goto(`${url}/#/findings`);
  await until("it was asked again", () => asked >= 2);
  await page.getByRole("heading", { level: 1, name: "Findings" }).waitFor();
  await page.goto(`${url}/#/windows/nothing`);
  await page.getByText("This does not exist").waitFor();
  await page.goto(`${url}/#/reports/demand?since=2026-12-01&until=2026-11-01`);
  await page.getByRole("main").getByText(/must be after|before/).first().waitFor();
  await page.goto(`${url}/#/somewhere/else`);
  await page.getByRole("heading", { level: 1, name: "Not found" }).waitFor();
});

test("a stream that is paused is said so at home, and nothing is where streams may not be read", async () => {
  const page = await open("Ida Admin", "#/");
  page.said.expected.push(/status of 403/);
  const stream = { id: "siem", target: { kind: "s3" }, shape: "native", include_service: false, state: "paused", lag_ms: 5000, sent: 0, attempts: 9, error: "<b>it said no</b>", next_try_at: new Date().toISOString() };
  await answer(page, "/v1/streams", 200, { streams: [stream, { ...stream, id: "lake", state: "running", error: undefined }], next: null });
  await goTo(page, "#/findings");
  await goTo(page, "#/");
  await page.getByRole("link", { name: /^Paused streams\s+1\s+One stream is paused/ }).click();
  await page.getByRole("row").filter({ hasText: "siem" }).getByText("<b>it said no</b>").waitFor();
  await page.getByRole("row").filter({ hasText: "siem" }).getByText(/keeps its position/).waitFor();
  await page.unrouteAll();
  await answer(page, "/v1/streams", 403, { title: "Forbidden", status: 403, detail: "not for you" });
  await goTo(page, "#/");
  assert.equal(await page.getByText(/Paused streams|not for you/).count(), 0);
});

const HOSTILE = `<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>"'\`{{7*7}}\${7*7}&lt;b&gt; \u202Egnp.exe`;
// An id of a session or a request has no slash, because it is part of addresses.
const HOSTILE_ID = HOSTILE.replaceAll("/", ":");

test("hostile names and justifications are text in every view", async () => {
  const now = Date.now();
  const at = (minutes) => new Date(now - minutes * 60_000).toISOString();
  const mallory = { type: "user", name: HOSTILE, email: "mallory@acme.example" };
  const subject = { name: HOSTILE, email: "mallory@acme.example" };
  const target = { type: "application", id: "hostile", name: HOSTILE };
  const account = { name: HOSTILE };
  const session = (more) => ({ id: HOSTILE_ID, scope: "session", roles: [HOSTILE], starts_at: at(50), ends_at: at(-60), ...more });
  const events = [
    { id: "hostile-1", action: "session.created", occurred_at: at(59), actor: mallory, target, session: session(), justification: HOSTILE },
    { id: "hostile-2", action: "session.approved", occurred_at: at(58), actor: { type: "user", name: HOSTILE }, target, session: { id: HOSTILE_ID, scope: "role", roles: [HOSTILE] }, reason: HOSTILE },
    { id: "hostile-3", action: "session.granted", occurred_at: at(50), actor: { type: "system" }, subject, target, session: session({ username: HOSTILE }) },
    { id: "hostile-4", action: "entra.account.requested", occurred_at: at(40), actor: mallory, target, account, request_id: HOSTILE_ID, justification: HOSTILE, ticket: { id: HOSTILE, url: "javascript:window.harmed=1" } },
    { id: "hostile-5", action: "entra.account.requested", occurred_at: at(90), actor: mallory, target, account: { name: `${HOSTILE}2` }, request_id: "short", justification: HOSTILE.slice(0, 4), window: { duration: "PT10M" } },
    { id: "hostile-6", action: "entitlement.requested", occurred_at: at(30), actor: mallory, subject, target: { type: "access_package", id: "hostile-package", name: HOSTILE }, request_id: "hostile-request", justification: HOSTILE },
  ];
  events.push({ ...events.at(-1), id: "hostile-7", action: "entitlement.fulfilled", actor: { type: "system" }, occurred_at: at(20), window: false });
  const sent = await api("POST", "v1/events", { events });
  assert.equal(sent.created, events.length, JSON.stringify(sent));
  await api("PUT", "v1/people/mallory", { name: HOSTILE, emails: ["mallory@acme.example"], team: HOSTILE });
  await api("PUT", "v1/packages/hostile-package", { name: HOSTILE, description: HOSTILE, resource_roles: [{ resource: { name: HOSTILE }, role: HOSTILE }], policies: [{ id: "p", requestors: { all: true }, approvals_needed: 0 }] });
  await api("PUT", "v1/organisations/hostile", { name: HOSTILE, description: HOSTILE, state: "configured" });
  await api("POST", "v1/reviews", { id: "hostile", name: HOSTILE, of: "sessions", since: at(600), until: at(-600), due_at: at(-6000) });
  await api("PUT", "v1/review-plans/hostile", { name: HOSTILE, every: "month", of: "sessions", target: HOSTILE, reviewers: [HOSTILE] });
  await api("PUT", "v1/saved/hostile", { name: HOSTILE, filter: `actor.name eq ${JSON.stringify(HOSTILE)}`, range: "today", schedule: { every: "day" } });
  await api("PUT", "v1/saved/hostile-report", { name: `${HOSTILE} of a report`, report: { name: "access", target: HOSTILE } });
  await api("PUT", "v1/streams/hostile", { target: { kind: "s3" }, filter: `target.name eq ${JSON.stringify(HOSTILE)}` });
  const { windows } = await api("GET", "v1/windows");
  const window = windows.find((window) => window.account.name === HOSTILE).id;
  const finding = await until("there is a finding", async () => (await api("GET", "v1/findings")).findings.find((finding) => finding.account?.name?.startsWith(HOSTILE)));
  await api("POST", `v1/findings/${encodeURIComponent(finding.id)}/disposition`, { disposition: "investigating", reason: HOSTILE });

  const page = await open("Ida Admin", "#/");
  const words = "window.harmed=1";
  const quoted = encodeURIComponent(HOSTILE_ID);
  for (const view of [
    ...VIEWS,
    `#/activity/trail?q=mallory&event=hostile-4`,
    `#/activity/trail?filter=${encodeURIComponent(`target.name eq ${JSON.stringify(HOSTILE)}`)}`,
    `#/activity/sessions/${quoted}`,
    `#/windows/${window}`,
    `#/findings/${encodeURIComponent(finding.id)}`,
    "#/reviews/hostile",
    "#/reports/access?since=all",
    "#/reports/package-activity?since=all",
    "#/reports/demand?since=all",
    "#/reports/organisations",
    "#/settings/saved?runs=hostile",
    `#/reports/user-packages?person=${encodeURIComponent("mallory@acme.example")}`,
    `#/reports/package-users?package=hostile-package`,
    `#/reports/requests?id=${quoted}`,
  ]) {
    await goTo(page, view);
    // Lists are shown (figures are counted a while later), and with them the text as it was written: so it was drawn, and not read as markup.
    if (!["#/activity/downloads", "#/reports", "#/", "#/reports/demand?since=all"].includes(view)) await until(`${view} shows the text`, async () => (await page.getByText(words).count()) > 0);
    const harm = await page.evaluate(() => [globalThis.harmed, document.querySelectorAll("#page img:not([alt='']), #page script, [onerror]").length, [...document.links].filter((link) => link.protocol === "javascript:").length]);
    assert.deepEqual(harm, [undefined, 0, 0], view);
  }
  await page.goto(`${url}/#/activity/trail?q=mallory`);
  await page.locator(".grid button.link").first().click();
  await page.getByRole("dialog").getByText(words).first().waitFor();
  assert.equal(await page.evaluate(() => globalThis.harmed), undefined);
});
