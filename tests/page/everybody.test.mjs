// The page is for everybody: by keyboard, by screen reader, in the dark, on a telephone.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { api, axe, goTo, open, until } from "./browser.mjs";

const source = await readFile(axe, "utf8");
const { findings } = await api("GET", "v1/findings");
const { windows } = await api("GET", "v1/windows");
const { sessions } = await api("GET", "v1/sessions");
const { reviews } = await api("GET", "v1/reviews");
// A week that is saved, and runs by itself; a stream that goes on, and one that nobody takes anything of.
await api("PUT", "v1/saved/for-everybody", { name: "For everybody", q: "alex", range: "last week", tz: "Europe/Paris", schedule: { every: "week", at: "06:00", on: "friday" } });
await api("PUT", "v1/streams/for-everybody", { target: { kind: "s3" }, shape: "ocsf", filter: 'action sw "session."' });
await api("PUT", "v1/streams/for-nobody", { target: { kind: "https", url: "http://127.0.0.1:1/", secrets: ["env:JIT_AUDIT_SECRET_NOBODY"] }, from: "oldest" });
const VIEWS = [
  "#/",
  "#/activity/trail",
  "#/activity/trail?event=" + encodeURIComponent((await api("GET", "v1/events")).events[0].id),
  "#/activity/sessions",
  `#/activity/sessions/${encodeURIComponent(sessions[0].id)}`,
  "#/activity/downloads",
  "#/windows",
  `#/windows/${windows[0].id}`,
  "#/findings",
  `#/findings/${encodeURIComponent(findings[0].id)}`,
  "#/reviews",
  `#/reviews/${encodeURIComponent(reviews[0].id)}`,
  "#/reports",
  "#/reports/access?since=all",
  "#/reports/demand",
  "#/reports/approval-times",
  "#/reports/revocation",
  "#/reports/package-users?package=pkg-sales",
  "#/settings/streams",
  "#/settings/saved",
  "#/settings/saved?runs=for-everybody",
];

for (const [name, options] of [
  ["in the light", {}],
  ["in the dark", { colorScheme: "dark" }],
  ["on a telephone", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }],
]) {
  test(`axe-core finds nothing serious ${name}, and no view scrolls sideways`, async () => {
    // The page's own policy keeps a script of the test's out.
    const page = await open("Ida Admin", "#/", { bypassCSP: true, ...options });
    for (const view of VIEWS) {
      await goTo(page, view);
      await page.evaluate(source);
      const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.slice(0, 3).map((node) => node.html)]), [], `${view} ${name}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${view} ${name} is ${wide} pixels too wide`);
    }
  });
}

test("all of it can be reached by the keyboard alone", async () => {
  const page = await open("Ida Admin", "#/");
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.getAttribute("aria-label"));
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  const reach = async (name) => {
    for (let steps = 0; steps < 60; steps += 1) {
      if ((await focused()) === name) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`${name} is not reached`);
  };
  await page.reload();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await reach("Windows");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Windows" }).waitFor();
  const account = "msptech-helpdesk@NETORGFT11060369.onmicrosoft.com";
  await page.getByRole("button", { name: `End now: the window of ${account}` }).waitFor();
  await page.evaluate(() => document.activeElement.blur());
  for (let steps = 0; steps < 80 && (await page.evaluate(() => document.activeElement.getAttribute("aria-label"))) !== `End now: the window of ${account}`; steps += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  // The keyboard stays inside, and Escape leads back.
  for (let steps = 0; steps < 12; steps += 1) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest("dialog") !== null));
  }
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), `End now: the window of ${account}`);
});

test("a person is picked by typing", async () => {
  const page = await open("Ann Auditor", "#/findings");
  const picker = page.getByRole("combobox", { name: "Person" });
  await picker.pressSequentially("pri");
  await page.getByRole("option", { name: /Priya Nikpot/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.equal(await picker.inputValue(), "priya@nikpot.com");
  await until("the address says it", () => page.url().includes("person=priya%40nikpot.com"));
});
