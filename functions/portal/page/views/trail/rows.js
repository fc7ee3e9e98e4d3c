// The rows of the trail: searched page by page, the newest first, and what is recorded meanwhile.

import { get, post } from "../../api.js";
import { useEffect, useRef, useState } from "../../html.js";

const AT_A_TIME = 100;
const LIVE_SECONDS = 2;

const isBefore = (one, other) => one.occurred_at > other.occurred_at || (one.occurred_at === other.occurred_at && one.id > other.id);

/** Puts events that were recorded meanwhile where they belong: by when they occurred. What lies behind the last row comes with its page. */
function merged(rows, events, hasMore) {
  const known = new Set(rows.map((event) => event.id));
  const last = rows.at(-1);
  const fresh = events.filter((event) => !known.has(event.id) && !(hasMore && last && isBefore(last, event)));
  return fresh.length === 0 ? rows : [...rows, ...fresh].sort((one, other) => (isBefore(one, other) ? -1 : 1));
}

/**
 * The events that `search` (the body of a search) finds: `{rows, fresh, scanned, isLoading, failure, hasMore, more(), stop(), again()}`. `fresh` holds the
 * ids of those that came while it was live.
 */
export function useTrail(search, isLive) {
  const nothing = { rows: [], next: null, scanned: 0, isLoading: search !== null, failure: null, fresh: new Set() };
  const [state, setState] = useState(nothing);
  const [turn, setTurn] = useState(0);
  const running = useRef(null);

  const load = async (cursor) => {
    running.current?.abort();
    const aborter = (running.current = new AbortController());
    setState((before) => ({ ...before, isLoading: true, failure: null }));
    let found = 0;
    try {
      // A page may be short or empty while the search goes on behind it.
      do {
        const page = await post("v1/events/search", { ...search, limit: AT_A_TIME, cursor: cursor ?? undefined }, { signal: aborter.signal, repeat: true });
        if (aborter.signal.aborted) return;
        found += page.events.length;
        cursor = page.next;
        const isOver = !cursor || found >= AT_A_TIME;
        setState((before) => ({ ...before, rows: merged(before.rows, page.events, false), next: cursor, scanned: before.scanned + page.scanned, isLoading: !isOver }));
      } while (cursor && found < AT_A_TIME);
    } catch (failure) {
      if (!aborter.signal.aborted) setState((before) => ({ ...before, isLoading: false, failure, next: cursor ?? before.next }));
    }
  };

  useEffect(() => {
    setState(nothing);
    if (search !== null) load(null);
    return () => running.current?.abort();
  }, [search, turn]);

  useEffect(() => {
    if (!isLive || search === null) return;
    const aborter = new AbortController();
    let [after, timer] = ["now", 0];
    const { filter, q, include_service, since } = search;
    const follow = async () => {
      try {
        const page = document.hidden && after !== "now" ? null : await get("v1/feed", { after, filter, q, include_service, limit: 1000 }, { signal: aborter.signal });
        if (page) {
          after = page.next;
          const events = page.events.filter((event) => !since || event.occurred_at >= since);
          if (events.length > 0) setState((before) => ({ ...before, rows: merged(before.rows, events, before.next), fresh: new Set([...before.fresh, ...events.map((event) => event.id)]) }));
        }
      } catch (failure) {
        if (aborter.signal.aborted) return;
        // The place in the feed is kept: nothing is missed when it answers again.
        if (failure.kind === "expired" || failure.kind === "refused") return setState((before) => ({ ...before, failure }));
      }
      if (!aborter.signal.aborted) timer = setTimeout(follow, LIVE_SECONDS * 1000);
    };
    follow();
    return () => (aborter.abort(), clearTimeout(timer));
  }, [search, isLive]);

  return {
    ...state,
    hasMore: Boolean(state.next),
    more: () => !state.isLoading && state.next && load(state.next),
    again: () => setTurn((turn) => turn + 1),
    stop: () => (running.current?.abort(), setState((before) => ({ ...before, isLoading: false }))),
  };
}
