// What every view has to know: who is asking, what they may do, in which zone times are shown.

import { createContext, useContext } from "./html.js";

/** `{me, can(permission), columns, zone, serviceZone, setZone, say(text)}`. */
export const App = createContext(null);
export const useApp = () => useContext(App);

const ZONE = "jit-audit.zone";

/** The zone somebody chose, none for the service's. */
export const chosenZone = () => localStorage.getItem(ZONE) ?? "";
export const keepZone = (zone) => (zone ? localStorage.setItem(ZONE, zone) : localStorage.removeItem(ZONE));
