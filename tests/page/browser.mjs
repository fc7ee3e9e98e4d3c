// A real browser before the page: Debian's Chromium, driven by playwright-core. The stack's address and a token come from whoever starts the tests.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach } from "node:test";

const peers = createRequire(`${process.env.PEERS}/`);
const { chromium } = peers("playwright-core");
export const axe = peers.resolve("axe-core/axe.min.js");

export const url = process.env.AUDIT_URL;

/** Milliseconds after which something is taken to be in vain; a machine with other work takes its time. */
const PATIENCE = Number(process.env.PATIENCE ?? 120_000);

// As root it has no sandbox of its own.
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
after(() => browser.close());

let opened = [];

/** Records what the API answers to the page, as tests/src/answers.rs does for other tests. */
async function record(response) {
  const path = new URL(response.url()).pathname;
  // Some tests answer in the place of the API; they do not number their answers.
  if (!process.env.ANSWERS || !path.startsWith("/v1/") || !response.headers()["apigw-requestid"]) return;
  // A response whose page is closed or was left has no body any more.
  const body = await response.text().catch(() => null);
  if (body === null || body.length > 65_536) return;
  const line = { method: response.request().method(), path, status: response.status(), type: response.headers()["content-type"] ?? "", body };
  appendFileSync(process.env.ANSWERS, `${JSON.stringify(line)}\n`);
}

/** The page at an address behind the `#`, signed in as one of the people whom the development issuer offers. */
export async function open(person, hash = "#/", options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, timezoneId: "UTC", locale: "en-GB", acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  context.on("response", record);
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => said.push(String(error)));
  opened.push({ context, said, expected: [] });
  page.said = opened.at(-1);
  page.asked = new Set();
  page.on("request", (request) => page.asked.add(request));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => page.asked.delete(request));
  await page.goto(`${url}/${hash}`);
  if (person) {
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText(person).click();
    await page.getByRole("main").getByRole("heading", { level: 1 }).waitFor();
  }
  return page;
}

// No view may complain; but a browser itself says when an answer is no success, which some tests provoke.
afterEach(async () => {
  const pages = opened;
  opened = [];
  for (const { context, said, expected } of pages) {
    await context.close();
    assert.deepEqual(said.filter((line) => !expected.some((pattern) => pattern.test(line))), []);
  }
});

/** Goes to a view and waits until all of it is there: nothing is asked for any more, and nothing says that it is on its way. */
export async function goTo(page, hash) {
  await page.goto(`${url}/${hash}`);
  let quiet = 0;
  await until(`${hash} is there`, async () => {
    const isQuiet = page.asked.size === 0 && (await page.locator("main .loading, dialog .loading").count()) === 0;
    quiet = isQuiet ? quiet + 1 : 0;
    return quiet === 3;
  });
}

/** Asks the API as somebody who may everything. */
export async function api(method, path, body) {
  const headers = { Authorization: `Bearer ${process.env.AUDIT_TOKEN}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

/** All events that a search finds. */
export async function search(body) {
  const events = [];
  let cursor;
  do {
    const page = await api("POST", "v1/events/search", { ...body, limit: 1000, cursor });
    events.push(...page.events);
    cursor = page.next ?? undefined;
  } while (cursor);
  return events;
}

/** A CSV file as rows, read by Python. */
export function csv(text) {
  const read = "import csv, io, json, sys; print(json.dumps(list(csv.reader(io.StringIO(sys.stdin.buffer.read().decode('utf-8-sig'), newline='')))))";
  const [head, ...rows] = JSON.parse(execFileSync("python3", ["-c", read], { input: text, encoding: "utf8", maxBuffer: 2 ** 28 }));
  return rows.map((row) => Object.fromEntries(row.map((cell, place) => [head[place], cell])));
}

/** Asks until there is an answer. */
export async function until(what, ask) {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const answer = await ask();
    if (answer) return answer;
  }
  return assert.fail(`waited in vain until ${what}`);
}
