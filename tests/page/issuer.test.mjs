// Signing in by an issuer that nobody here wrote, at an origin of its own.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open } from "./browser.mjs";

test("the page signs in by code and PKCE, and asks the API with what it was given", async () => {
  const page = await open(null, "#/activity/trail?q=x");
  const [request] = await Promise.all([page.waitForRequest(/\/token$/), page.getByRole("button", { name: "Sign in" }).click()]);
  const asked = new URLSearchParams(request.postData());
  assert.deepEqual([asked.get("grant_type"), asked.get("client_id")], ["authorization_code", "the-page"]);
  assert.match(asked.get("code_verifier"), /^[\w.~-]{43,128}$/);
  await page.getByText("mo@acme.example").waitFor();
  await page.getByText("No event matches.").waitFor();
  assert.equal(new URL(page.url()).hash, "#/activity/trail?q=x");
});
