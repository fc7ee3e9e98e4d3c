// Signing in by OpenID Connect: authorization code with PKCE (RFC 7636), by oauth4webapi. The token lives as long as the tab, and goes to
// this page's own API alone.

import * as oauth from "oauth4webapi";

const KEPT = "jit-audit.sign-in";
const BEGUN = "jit-audit.sign-in-begun";

let deployment;
let kept = read(KEPT);

function read(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

const home = () => new URL(".", document.baseURI).href;
const client = () => ({ client_id: deployment.client_id });
// Only loopback is reached without TLS: the one-machine run.
const options = () => ({ [oauth.allowInsecureRequests]: new URL(deployment.issuer).protocol === "http:" });

async function issuer() {
  const url = new URL(deployment.issuer);
  const answer = await oauth.discoveryRequest(url, { algorithm: "oidc", ...options() });
  return oauth.processDiscoveryResponse(url, answer);
}

/** Takes what this deployment says of itself, and finishes a sign-in that is under way. */
export async function start(told) {
  deployment = told;
  const here = new URL(location.href);
  if (!here.searchParams.has("code") && !here.searchParams.has("error")) return;
  const begun = read(BEGUN);
  sessionStorage.removeItem(BEGUN);
  // The code must not stay in the address, nor in what Back leads to.
  history.replaceState(null, "", home() + (begun?.address ?? ""));
  if (!begun) throw new Error("No sign-in was started in this tab. Sign in again.");
  const server = await issuer();
  const answer = oauth.validateAuthResponse(server, client(), here, begun.state);
  const response = await oauth.authorizationCodeGrantRequest(server, client(), oauth.None(), answer, home(), begun.verifier, options());
  const tokens = await oauth.processAuthorizationCodeResponse(server, client(), response, { expectedNonce: begun.nonce, requireIdToken: true });
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  kept = {
    token: tokens.access_token,
    ends: Date.now() + (tokens.expires_in ?? 3600) * 1000,
    name: claims.name ?? claims.email ?? claims.sub,
    leave: server.end_session_endpoint,
  };
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
}

/** Leads to the issuer, and from there back to where the page is now. */
export async function signIn() {
  const server = await issuer();
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  sessionStorage.setItem(BEGUN, JSON.stringify({ verifier, state, nonce, address: location.hash }));
  const to = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    client_id: deployment.client_id,
    redirect_uri: home(),
    response_type: "code",
    scope: deployment.scope,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  })) {
    to.searchParams.set(name, value);
  }
  location.assign(to);
}

/** Forgets the token, and ends the issuer's own session where it says how. */
export function signOut() {
  const leave = kept?.leave;
  kept = null;
  sessionStorage.clear();
  if (!leave) return location.assign(home());
  const to = new URL(leave);
  to.searchParams.set("client_id", deployment.client_id);
  to.searchParams.set("post_logout_redirect_uri", home());
  location.assign(to);
}

/** The token, while it holds. */
export const token = () => (kept && Date.now() < kept.ends ? kept.token : null);

/** Takes the token for ended: the API does not take it any more. */
export function forget() {
  if (!kept) return;
  kept.ends = 0;
  sessionStorage.removeItem(KEPT);
}

/** Whether somebody signed in here, be it over or not. */
export const wasSignedIn = () => kept !== null;

/** What the issuer calls whoever signed in. */
export const signedInName = () => kept?.name ?? "";

/** When the token ends, in milliseconds since 1970. */
export const tokenEnds = () => kept?.ends ?? 0;
