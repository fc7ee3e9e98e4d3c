// What every view is written with: markup as tagged templates, and Preact's hooks.

import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
export { Fragment, createContext, render } from "preact";
export { useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

/** Class names, those that are not false. */
export const classes = (...names) => names.filter(Boolean).join(" ");
