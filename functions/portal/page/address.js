// Where in the page somebody is: a path and parameters behind the `#`, so that an address can be shared and the way back works.

import { useEffect, useState } from "./html.js";

/** Reads an address: `#/findings/f1?rule=x` is `{path: ["findings", "f1"], params}`. */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decoded), params: new URLSearchParams(query) };
}

function decoded(step) {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

let always = {};

/** Parameters that every address has from now on. */
export const keepInAddresses = (params) => (always = params);

/** Writes an address; parameters that are empty are left out. */
export function address(path, params = {}) {
  const query = new URLSearchParams(Object.entries({ ...params, ...always }).filter(([, value]) => value !== "" && value != null));
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Goes somewhere; `replace` where it is the same place with other parameters, so that Back leaves it at once. */
export function go(to, { replace = false } = {}) {
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = to;
  }
}

/** The address, followed as it changes. */
export function useAddress() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return read(hash);
}
