// The page: who is signed in, where in the page they are, and the frame around every view.

import { address, go, keepInAddresses, read, useAddress } from "./address.js";
import { get, setTenant, whenExpired } from "./api.js";
import { App, chosenZone, keepZone } from "./app.js";
import { classes, html, render, useCallback, useEffect, useErrorBoundary, useState } from "./html.js";
import { Loading, Problem, SignInAgain } from "./parts/states.js";
import { signIn, signOut, signedInName, start, token, tokenEnds, wasSignedIn } from "./sign_in.js";

const TENANT = "jit-audit.tenant";

/** Every place of the page: its name, its module, and under which heading the menu has it. */
const PLACES = [
  { path: [], name: "Home", view: () => import("./views/home.js") },
  { path: ["activity", "trail"], name: "Audit trail", group: "Activity", view: () => import("./views/trail.js") },
  { path: ["activity", "sessions"], name: "Sessions", group: "Activity", view: () => import("./views/sessions.js") },
  { path: ["activity", "downloads"], name: "Downloads", group: "Activity", view: () => import("./views/downloads.js") },
  { path: ["windows"], name: "Windows", group: "Access", view: () => import("./views/windows.js") },
  { path: ["findings"], name: "Findings", group: "Access", view: () => import("./views/findings.js") },
  { path: ["reviews"], name: "Reviews", group: "Access", view: () => import("./views/reviews.js") },
  { path: ["reports"], name: "Reports", group: "Access", view: () => import("./views/reports.js") },
  { path: ["settings", "streams"], name: "Streams", group: "Settings", view: () => import("./views/streams.js") },
  { path: ["settings", "saved"], name: "Saved and scheduled", group: "Settings", view: () => import("./views/saved.js") },
];

/** The place that an address leads to, and what of it is left for the view. */
function placeOf(path) {
  const found = PLACES.filter((place) => place.path.length > 0 || path.length === 0).find((place) => place.path.every((step, at) => path[at] === step));
  return found && { ...found, rest: path.slice(found.path.length) };
}

function Page({ deployment, failed }) {
  const [isExpired, setExpired] = useState(false);
  const [tenant, chooseTenant] = useState(() => read().params.get("tenant") ?? sessionStorage.getItem(TENANT));
  const [me, setMe] = useState(null);
  const [failure, setFailure] = useState(failed);
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    whenExpired(() => setExpired(true));
    if (!token()) return;
    // The moment it ends is known: nobody has to run into it.
    const timer = setTimeout(() => setExpired(true), Math.min(tokenEnds() - Date.now(), 2 ** 31 - 1));
    return () => clearTimeout(timer);
  }, []);
  useEffect(() => {
    if (!token() || failed) return;
    setTenant(tenant);
    get("v1/me")
      .then((me) => {
        const several = me.tenants.length > 1 && !me.tenant;
        if (!several) {
          // An address that is shared says which of several tenants it is about.
          keepInAddresses(me.tenants.length > 1 ? { tenant: me.tenant } : {});
          return setMe(me);
        }
        // The one of several that is shown first.
        choose(me.tenants[0]);
      })
      .catch((failure) => {
        // A tenant of an earlier sign-in.
        if (failure.status === 404 && tenant) choose(null);
        else setFailure(failure);
      });
  }, [tenant, turn]);
  const choose = (name) => {
    name ? sessionStorage.setItem(TENANT, name) : sessionStorage.removeItem(TENANT);
    setMe(null);
    chooseTenant(name);
  };

  if (!token() && !(isExpired && me)) return html`<${Welcome} failure=${failure} />`;
  if (failure?.status === 403) return html`<main class="alone"><h1>No permission</h1><${NoPermission} /><${LeaveLine} /></main>`;
  if (failure) return html`<main class="alone"><h1>Jit Audit</h1><${Problem} failure=${failure} again=${() => (setFailure(null), setTurn(turn + 1))} /><${LeaveLine} /></main>`;
  if (!me) return html`<main class="alone"><${Loading} what="Signing in" /></main>`;
  return html`<${Frame} key=${me.tenant} me=${me} columns=${deployment.columns} isExpired=${isExpired} choose=${choose} />`;
}

const NoPermission = () => html`<p>You do not have permission to read this trail. Ask the person who manages sign-ins for the scope or role of the permission <code>read</code>.</p>`;
const LeaveLine = () => html`<p>Signed in as ${signedInName()}. <button type="button" onClick=${signOut}>Sign out</button></p>`;

/** Before anybody signed in, or after it ended. */
function Welcome({ failure }) {
  const [problem, setProblem] = useState(failure);
  const begin = () => signIn().catch((error) => setProblem({ kind: "broken", message: `You cannot sign in: ${error.message}` }));
  return html`<main class="alone">
    <img src="page/icon.svg" alt="" width="48" height="48" />
    <h1>Jit Audit</h1>
    <p>Who requested access, who approved it, how it was used, and when it was removed.</p>
    ${wasSignedIn() && html`<p role="status">Your sign-in has ended.</p>`}
    ${problem && html`<div class="problem" role="alert"><p>${problem.message}</p></div>`}
    <p><button type="button" class="primary" onClick=${begin}>Sign in</button></p>
  </main>`;
}

function Frame({ me, columns, isExpired, choose }) {
  const { path, params } = useAddress();
  const [zone, setZoneState] = useState(chosenZone());
  const [said, setSaid] = useState("");
  const [isMenuOpen, setMenuOpen] = useState(false);
  const setZone = useCallback((zone) => (keepZone(zone), setZoneState(zone)), []);
  const say = useCallback((text) => setSaid(text), []);
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => setSaid(""), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  const place = placeOf(path);
  const mayRead = me.permissions.includes("read");
  useEffect(() => {
    document.title = `${place?.name ?? "Not found"} · Jit Audit`;
    setMenuOpen(false);
    // What was said is about where it was said.
    return () => setSaid("");
  }, [place?.name]);

  const app = {
    me,
    can: (permission) => me.permissions.includes(permission),
    columns,
    serviceZone: me.zone,
    zone: zone || me.zone,
    setZone,
    say,
  };
  return html`<${App.Provider} value=${app}>
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), document.getElementById("main").focus())}>Skip to the content</a>
    <header class="top">
      <button type="button" class="menu" aria-expanded=${isMenuOpen ? "true" : "false"} aria-controls="menu" onClick=${() => setMenuOpen(!isMenuOpen)}>☰<span class="unseen">Menu</span></button>
      <a class="brand" href="#/"><img src="page/icon.svg" alt="" width="24" height="24" /> Jit Audit</a>
      <span class="grow"></span>
      ${me.tenants.length > 1
        ? html`<label class="tenant"><span>Tenant</span>
            <select value=${me.tenant} onChange=${(event) => (choose(event.target.value), go(address([])))}>
              ${me.tenants.map((tenant) => html`<option value=${tenant}>${tenant}</option>`)}
            </select></label>`
        : html`<span class="tenant"><span>Tenant</span> <b>${me.tenant}</b></span>`}
      <span class="who" title=${me.permissions.join(", ")}>${me.email ?? signedInName()}</span>
      <button type="button" onClick=${signOut}>Sign out</button>
    </header>
    ${isExpired && html`<div class="banner" role="alert">Your sign-in has ended. The page keeps what it shows. <${SignInAgain} /></div>`}
    <div class="body">
      <${Menu} place=${place} isOpen=${isMenuOpen} />
      <main id="main" tabindex="-1">
        ${!mayRead
          ? html`<h1>No permission</h1><${NoPermission} />`
          : place
            ? html`<${View} key=${place.path.join("/")} place=${place} params=${params} />`
            : html`<h1>Not found</h1><p>This page does not exist. <a href="#/">Home</a></p>`}
      </main>
    </div>
    <div class="said" role="status">${said}</div>
  <//>`;
}

function Menu({ place, isOpen }) {
  const groups = [...new Set(PLACES.map((place) => place.group))];
  return html`<nav id="menu" aria-label="Places" class=${classes("menu", isOpen && "open")}>
    ${groups.map(
      (group) => html`${group && html`<h2>${group}</h2>`}
        <ul>
          ${PLACES.filter((one) => one.group === group).map(
            (one) => html`<li><a href=${address(one.path)} aria-current=${place?.name === one.name ? "page" : undefined}>${one.name}</a></li>`,
          )}
        </ul>`,
    )}
  </nav>`;
}

const loaded = new Map();

/** A view, fetched when it is first gone to. */
function View({ place, params }) {
  const [module, setModule] = useState(loaded.get(place.name));
  const [failure, setFailure] = useState(null);
  const [broken, mend] = useErrorBoundary((error) => console.error(error));
  useEffect(() => {
    if (module) return;
    place.view().then(
      (module) => (loaded.set(place.name, module), setModule(module)),
      () => setFailure({ kind: "offline", message: "This part of the page could not be loaded. Check the network connection, then load the page again." }),
    );
  }, []);
  if (broken) return html`<${Problem} failure=${{ kind: "broken", message: `This view failed: ${broken.message}` }} again=${mend} />`;
  if (failure) return html`<${Problem} failure=${failure} />`;
  return module ? html`<${module.default} rest=${place.rest} params=${params} />` : html`<${Loading} />`;
}

/** What the page has to know, and time's own library where the browser lacks it. */
async function prepare() {
  const answer = await fetch(new URL("page/deployment.json", document.baseURI));
  if (!answer.ok) throw new Error(`the service responded with ${answer.status}`);
  if (!globalThis.Temporal) await import("./vendor/temporal.js");
  return answer.json();
}

async function begin() {
  const root = document.getElementById("page");
  const show = (content) => ((root.textContent = ""), render(content, root));
  let deployment;
  try {
    deployment = await prepare();
  } catch (error) {
    const failure = { kind: "offline", message: `The page could not start: ${error.message}.` };
    return show(html`<main class="alone"><h1>Jit Audit</h1><${Problem} failure=${failure} again=${() => location.reload()} /></main>`);
  }
  let failed = null;
  try {
    await start(deployment);
  } catch (error) {
    failed = { kind: "broken", message: `The sign-in failed: ${error.message}` };
  }
  show(html`<${Page} deployment=${deployment} failed=${failed} />`);
}

begin();
