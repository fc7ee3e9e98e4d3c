// Asking the API from a view: one answer, or a list that goes on.

import { get } from "./api.js";
import { useCallback, useEffect, useRef, useState } from "./html.js";

/** Asks for `path`; `{data, failure, isLoading, again()}`. Nothing is asked while `path` is null. `every` seconds it is asked again. */
export function useAnswer(path, query = {}, { every = 0 } = {}) {
  const [state, setState] = useState({ isLoading: path !== null });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([path, query]);
  const asked = useRef(null);
  useEffect(() => {
    if (path === null) return;
    const aborter = new AbortController();
    const isSame = asked.current === key;
    asked.current = key;
    // What is asked again stays on screen until the new answer is there.
    setState((before) => ({ ...(isSame ? before : {}), isLoading: true }));
    get(path, query, { signal: aborter.signal }).then(
      (data) => setState({ data, isLoading: false }),
      (failure) => aborter.signal.aborted || setState((before) => ({ ...before, failure, isLoading: false })),
    );
    return () => aborter.abort();
  }, [key, turn]);
  useEffect(() => {
    if (!every || path === null) return;
    const timer = setInterval(() => document.hidden || setTurn((turn) => turn + 1), every * 1000);
    return () => clearInterval(timer);
  }, [key, every]);
  const again = useCallback(() => setTurn((turn) => turn + 1), []);
  return { ...state, again };
}

/**
 * Asks for the list that `path` answers under `name`, a page at a time: `{rows, first, failure, isLoading, hasMore, more(), again()}`. A page may
 * be empty and yet not the last; then the next is asked for at once.
 */
export function usePages(path, name, query = {}) {
  const [state, setState] = useState({ rows: [], isLoading: true, next: null });
  const [turn, setTurn] = useState(0);
  const key = JSON.stringify([path, query]);
  const running = useRef(null);
  const asked = useRef(null);

  const load = async (rows, cursor) => {
    running.current?.abort();
    const aborter = (running.current = new AbortController());
    // What is asked for anew stays on screen until it is there.
    setState((before) => ({ ...before, isLoading: true, failure: null }));
    try {
      let first;
      const before = rows.length;
      do {
        const answer = await get(path, { ...query, cursor }, { signal: aborter.signal });
        first ??= answer;
        rows = [...rows, ...answer[name]];
        cursor = answer.next;
      } while (cursor && rows.length === before);
      setState((before) => ({ rows, next: cursor, isLoading: false, first: before.first ?? first }));
    } catch (failure) {
      if (!aborter.signal.aborted) setState((before) => ({ ...before, failure, isLoading: false, next: cursor }));
    }
  };

  useEffect(() => {
    if (path === null) return;
    if (asked.current !== key) setState({ rows: [], isLoading: true, next: null });
    asked.current = key;
    setState((before) => ({ ...before, first: undefined }));
    load([], null);
    return () => running.current?.abort();
  }, [key, turn]);
  return {
    ...state,
    hasMore: Boolean(state.next),
    more: () => state.isLoading || load(state.rows, state.next),
    again: () => setTurn((turn) => turn + 1),
  };
}
